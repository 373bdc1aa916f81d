// Package fields tries fields of the spec with each release's own HAProxy and keepalived, without hosts around them:
// what arrives at the servers, and which of them a client gets.
package fields

import (
	"crypto/tls"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/render"
)

func TestMain(m *testing.M) {
	if os.Getenv(insideOf) != "" {
		os.Exit(m.Run())
	}
	e2e.Main(m)
}

const head = "apiVersion: rlb.dev/v1\nkind: LoadBalancerSpec\nvirtualIPs: [192.0.2.10/24]\nvrrp: {interface: eth0}\nfirewall: {manage: false}\n"

// rendered is the file of a kind for the tree's programs.
func rendered(t *testing.T, tree, yaml string, kind render.Kind) string {
	t.Helper()
	doc, err := api.Parse("spec.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	all, err := render.Render(&doc.Spec, render.Facts{
		Interface: "eth0", Subnets: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/64")},
		HAProxyVersion: version(t, tree, "haproxy"), KeepalivedVersion: version(t, tree, "keepalived"), Systemctl: "/usr/bin/true",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all.Files {
		if f.Kind == kind {
			return string(f.Data)
		}
	}
	t.Fatal("nothing is rendered")
	return ""
}

// haproxy runs the tree's own with some services, and waits until a port of the first one listens.
func haproxy(t *testing.T, tree, services string, port int) {
	t.Helper()
	write(t, tree, "etc/haproxy/haproxy.cfg", rendered(t, tree, head+"services:\n"+services, render.HAProxyConfig))
	write(t, tree, "run/haproxy/.keep", "")
	start(t, tree, "haproxy", "-db", "-f", "/etc/haproxy/haproxy.cfg")
	eventually(t, "HAProxy listens", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// states are those of the servers of a backend, in HAProxy's words.
func states(t *testing.T, tree, backend string) []string {
	return statistics(t, tree, 4, backend, "status")
}

// queued is how many connections wait for a server of a backend.
func queued(t *testing.T, tree, backend string) string {
	return statistics(t, tree, 2, backend, "qcur")[0]
}

// statistics are a column of what HAProxy says of a backend: of itself (kind 2), or of its servers (4).
func statistics(t *testing.T, tree string, kind int, backend, column string) (all []string) {
	t.Helper()
	c, err := net.Dial("unix", filepath.Join(tree, render.StatsSocket))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "show stat -1 %d -1\n", kind)
	rows, err := csv.NewReader(c).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.Index(rows[0], column)
	for _, row := range rows[1:] {
		if strings.TrimPrefix(row[0], "# ") == backend {
			all = append(all, row[at])
		}
	}
	return all
}

// TestProxyProtocol: what the servers are told of the client, and that checks tell it too where they go to the same port.
func TestProxyProtocol(t *testing.T) {
	inTrees(t, func(t *testing.T, tree string) {
		var one, two, other first
		listen(t, "127.0.0.1:8001", one.serve)
		listen(t, "127.0.0.1:8002", two.serve)
		listen(t, "127.0.0.1:8003", other.serve)
		// none of them gives a good answer to a check
		haproxy(t, tree, `
- {name: v1, port: 7001, sendProxyProtocol: v1, servers: [{address: 127.0.0.1, port: 8001}], healthCheck: {type: http}}
- {name: v2, port: 7002, acceptProxyProtocol: true, sendProxyProtocol: v2, servers: [{address: 127.0.0.1, port: 8002}], healthCheck: {type: http}, failOpen: true}
- {name: other, port: 7003, sendProxyProtocol: v2, servers: [{address: 127.0.0.1, port: 8002}], healthCheck: {type: http, port: 8003}}
`, 7001)
		const signature = "\r\n\r\n\x00\r\nQUIT\n"
		eventually(t, "checks in version 1", func() bool {
			return one.has(func(s string) bool { return strings.HasPrefix(s, "PROXY ") && strings.Contains(s, "GET /readyz") })
		})
		eventually(t, "checks in version 2", func() bool {
			return two.has(func(s string) bool { return strings.HasPrefix(s, signature) && strings.Contains(s, "GET /readyz") })
		})
		eventually(t, "plain checks of another port", func() bool {
			return other.has(func(s string) bool { return strings.HasPrefix(s, "GET /readyz") })
		})
		// which cuts connections at that moment
		eventually(t, "the checks have failed", func() bool { return slices.Equal(states(t, tree, "v2"), []string{"DOWN"}) })
		if got := ask("127.0.0.1:7002", "PROXY TCP4 203.0.113.7 203.0.113.8 1111 2222\r\nhello"); got != "seen" {
			t.Errorf("the answer is %q", got)
		}
		from := string(netip.MustParseAddr("203.0.113.7").AsSlice())
		eventually(t, "the client's address arrives in version 2", func() bool {
			return two.has(func(s string) bool {
				return strings.HasPrefix(s, signature) && strings.HasPrefix(s[16:], from) && strings.HasSuffix(s, "hello")
			})
		})
		if got := ask("127.0.0.1:7002", "hello\r\n"); got == "seen" {
			t.Error("a client that does not speak the PROXY protocol is served")
		}
	})
}

// TestCheckedHost: the request of a check, and the server name in its TLS.
func TestCheckedHost(t *testing.T) {
	inTrees(t, func(t *testing.T, tree string) {
		var mu sync.Mutex
		var asked []string
		l, err := tls.Listen("tcp", "127.0.0.1:8004", &tls.Config{Certificates: []tls.Certificate{certificate(t)}})
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			asked = append(asked, fmt.Sprintf("%s %s %s %s", r.Method, r.URL, r.Host, r.TLS.ServerName))
			mu.Unlock()
		})}
		t.Cleanup(func() { server.Close() })
		go server.Serve(l)
		haproxy(t, tree, `
- name: web
  port: 7004
  servers: [{address: 127.0.0.1, port: 9}]
  healthCheck: {type: https, port: 8004, method: OPTIONS, path: '/x?y=1', host: web.example.org, interval: 100ms}
`, 7004)
		const want = "OPTIONS /x?y=1 web.example.org web.example.org"
		eventually(t, want, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return slices.Contains(asked, want)
		})
		eventually(t, "the server is up", func() bool { return states(t, tree, "web")[0] == "UP" })
	})
}

// hello is the ClientHello of a client that asks for a server name.
func hello(t *testing.T, name string) string {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	go tls.Client(near, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake()
	buffer := make([]byte, 16<<10)
	n, err := far.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	return string(buffer[:n])
}

// TestServerNames: a ClientHello leads to the service of its name, however it is cut into segments.
func TestServerNames(t *testing.T) {
	inTrees(t, func(t *testing.T, tree string) {
		greeter(t, "127.0.0.1:8010", "prod")
		greeter(t, "127.0.0.1:8011", "lab")
		greeter(t, "127.0.0.1:8012", "rest")
		haproxy(t, tree, `
- {name: rest, port: 7010, servers: [{address: 127.0.0.1, port: 8012}]}
- {name: lab, port: 7010, sni: ["*.example.org"], servers: [{address: 127.0.0.1, port: 8011}]}
- {name: prod, port: 7010, sni: [api.example.org], servers: [{address: 127.0.0.1, port: 8010}]}
`, 7010)
		for name, want := range map[string]string{
			"api.example.org": "prod", "API.Example.org": "prod", "x.example.org": "lab", "x.y.example.org": "lab",
			"example.org": "rest", "api.example.org.example.com": "rest", "": "rest",
		} {
			whole := hello(t, name)
			if got := ask("127.0.0.1:7010", whole); got != want {
				t.Errorf("%q: got %q, want %q", name, got, want)
			}
			for _, cut := range []int{1, 5, 6, 43, 100, len(whole) - 1} {
				if got := ask("127.0.0.1:7010", whole[:cut], whole[cut:]); got != want {
					t.Errorf("%q cut at %d of %d: got %q, want %q", name, cut, len(whole), got, want)
				}
			}
		}
		if got := ask("127.0.0.1:7010", "GET / HTTP/1.0\r\n\r\n"); got != "rest" {
			t.Errorf("without TLS: %q", got)
		}
	})
}

// TestFailOpenAndCutAfter: who gets new connections, and who keeps the old ones. c has weight 0 and never gets any.
func TestFailOpenAndCutAfter(t *testing.T) {
	inTrees(t, func(t *testing.T, tree string) {
		var a, b, c health
		for _, s := range []struct {
			name, address string
			health        *health
		}{{"a", "127.0.0.11", &a}, {"b", "127.0.0.12", &b}, {"c", "127.0.0.13", &c}} {
			greeter(t, s.address+":8020", s.name)
			s.health.serve(t, s.address+":8120")
		}
		haproxy(t, tree, `
- name: web
  port: 7020
  servers:
  - {name: a, address: 127.0.0.11, port: 8020}
  - {name: b, address: 127.0.0.12, port: 8020}
  - {name: c, address: 127.0.0.13, port: 8020, weight: 0}
  healthCheck: {type: http, port: 8120, cutAfter: 1m, interval: 100ms, timeout: 100ms, fall: 2, rise: 2}
  failOpen: true
`, 7020)
		served := func() string {
			names := map[string]bool{}
			for range 8 {
				names[ask("127.0.0.1:7020", "x")] = true
			}
			return fmt.Sprint(slices.Sorted(maps.Keys(names)))
		}
		expect := func(what, want string) {
			t.Helper()
			eventually(t, what+": new connections go to "+want, func() bool { return served() == want })
			for range 10 { // and it stays so: nothing flaps
				if got := served(); got != want {
					t.Fatalf("%s: new connections go to %s, want %s", what, got, want)
				}
			}
		}
		expect("all are well", "[a b]")
		long := map[string]net.Conn{}
		for len(long) < 2 {
			conn, err := net.Dial("tcp", "127.0.0.1:7020")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			long[answer(conn, "x")] = conn
		}
		cut := func(name string) bool { return ended(long[name], 50*time.Millisecond) }
		keeps, want := version(t, tree, "haproxy").KeepsOnWrongStatus(), "NOLB"
		if !keeps {
			want = "DOWN"
		}

		a.status.Store(500)
		expect("a answers 500", "[b]")
		if got := states(t, tree, "web")[0]; got != want {
			t.Errorf("a is %s, want %s", got, want)
		}
		if got := cut("a"); got == keeps {
			t.Errorf("a answers 500: its connection is cut: %v", got)
		}
		b.status.Store(500)
		expect("all answer 500", "[a b]")
		if got := cut("b"); got == keeps {
			t.Errorf("b answers 500: its connection is cut: %v", got)
		}
		b.status.Store(200)
		expect("b is well again", "[b]")
		b.hang.Store(true)
		expect("b hangs", "[a b]")
		if !cut("b") {
			t.Error("b does not answer its checks, and its connection is not cut")
		}
		a.status.Store(200)
		expect("a is well again", "[a]")
	})
}

// TestFailOpenLimit: each of a service's two backends keeps maxConnections, so that a server has up to twice as many: while
// all servers fail, beside those which cutAfter leaves, and after that.
func TestFailOpenLimit(t *testing.T) {
	inTrees(t, func(t *testing.T, tree string) {
		if !version(t, tree, "haproxy").KeepsOnWrongStatus() {
			return // a server that fails keeps none
		}
		const limit = 2
		var a health
		var now, most atomic.Int32 // connections that the server has
		a.serve(t, "127.0.0.11:8121")
		listen(t, "127.0.0.11:8021", func(c net.Conn) {
			defer c.Close()
			defer now.Add(-1)
			most.Store(max(most.Load(), now.Add(1)))
			if _, err := c.Read(make([]byte, 1)); err == nil {
				io.WriteString(c, "a\n")
				io.Copy(io.Discard, c)
			}
		})
		haproxy(t, tree, fmt.Sprintf(`
- name: web
  port: 7021
  servers: [{name: a, address: 127.0.0.11, port: 8021, maxConnections: %d}]
  healthCheck: {type: http, port: 8121, cutAfter: 1m, interval: 100ms, timeout: 100ms}
  failOpen: true
  timeouts: {connect: 1m}
`, limit), 7021)
		open := func() net.Conn {
			t.Helper()
			conn, err := net.Dial("tcp", "127.0.0.1:7021")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			return conn
		}
		full := func(backend string) {
			t.Helper()
			waits := open()
			eventually(t, "one more connection waits in "+backend, func() bool { return queued(t, tree, backend) == "1" })
			waits.Close()
			eventually(t, "nobody waits in "+backend, func() bool { return queued(t, tree, backend) == "0" })
		}
		fill := func(backend string) (conns []net.Conn) {
			t.Helper()
			for range limit {
				conn := open()
				if got := answer(conn, "x"); got != "a" {
					t.Fatalf("%s: the answer is %q", backend, got)
				}
				conns = append(conns, conn)
			}
			full(backend)
			return conns
		}
		becomes := func(status int32, state string) {
			t.Helper()
			a.status.Store(status)
			eventually(t, "a is "+state, func() bool { return states(t, tree, "web")[0] == state })
		}
		before := fill("web")
		becomes(500, "NOLB")
		fill(render.FailOpenBackend("web"))
		becomes(200, "UP")
		full("web")
		for _, conn := range before {
			conn.Close()
		}
		eventually(t, "those from before are gone", func() bool { return now.Load() == limit })
		fill("web")
		if got := most.Load(); got != 2*limit {
			t.Errorf("the server had %d connections at once, want %d", got, 2*limit)
		}
	})
}

// TestCutByFall: a server that refuses its checks, does not answer them or shows another certificate loses its connections,
// also where it drained before. With cutAfter 0s a wrong status is such a failure, and one less than fall is none. Else the
// first wrong status takes a server out of the rotation, and the first right one brings it back.
func TestCutByFall(t *testing.T) {
	inTrees(t, func(t *testing.T, tree string) {
		const fall = 3
		addr := netip.MustParseAddr("127.0.0.11")
		own, ca, err := lab.SelfSigned("a", addr)
		if err != nil {
			t.Fatal(err)
		}
		other, _, err := lab.SelfSigned("a", addr)
		if err != nil {
			t.Fatal(err)
		}
		write(t, tree, "etc/ca.pem", string(ca))
		var shown atomic.Pointer[tls.Config]
		shown.Store(own)
		var a, strict, calm health
		serve := func() (refuse func()) {
			l, err := tls.Listen("tcp", "127.0.0.11:8140", &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return shown.Load(), nil }})
			if err != nil {
				t.Fatal(err)
			}
			return a.serveOn(t, l)
		}
		refuse := serve()
		strict.serve(t, "127.0.0.11:8141")
		calm.serve(t, "127.0.0.11:8142")
		greeter(t, "127.0.0.11:8040", "a")
		haproxy(t, tree, fmt.Sprintf(`
- name: web
  port: 7040
  servers: [{name: a, address: 127.0.0.11, port: 8040}]
  healthCheck: {type: https, port: 8140, caFile: /etc/ca.pem, cutAfter: 1m, interval: 50ms, timeout: 100ms, fall: %[1]d, rise: 2}
- name: strict
  port: 7041
  servers: [{name: a, address: 127.0.0.11, port: 8040}]
  healthCheck: {type: http, port: 8141, cutAfter: 0s, interval: 50ms, timeout: 100ms, fall: %[1]d, rise: 2}
  failOpen: false
- name: calm
  port: 7042
  servers: [{name: a, address: 127.0.0.11, port: 8040}]
  healthCheck: {type: http, port: 8142, cutAfter: 1m, interval: 300ms, timeout: 100ms, fall: 5, rise: 5}
`, fall), 7042)
		is := func(backend, state string) {
			t.Helper()
			eventually(t, backend+" is "+state, func() bool { return states(t, tree, backend)[0] == state })
		}
		open := func(port int) net.Conn {
			t.Helper()
			conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			if got := answer(conn, "x"); got != "a" {
				t.Fatalf("the answer is %q", got)
			}
			return conn
		}
		for _, fault := range []struct {
			name       string
			make, heal func()
		}{
			{"refuses", func() { refuse() }, func() { refuse = serve() }},
			{"does not answer", func() { a.hang.Store(true) }, func() { a.hang.Store(false) }},
			{"shows another certificate", func() { shown.Store(other) }, func() { shown.Store(own) }},
		} {
			for _, drains := range []bool{false, true} {
				is("web", "UP")
				conn := open(7040)
				if drains && version(t, tree, "haproxy").KeepsOnWrongStatus() {
					a.status.Store(500)
					is("web", "NOLB")
				}
				if ended(conn, 80*time.Millisecond) {
					t.Errorf("it drains: %v: its connection is cut before it %s", drains, fault.name)
				}
				fault.make()
				is("web", "DOWN")
				if !ended(conn, time.Second) {
					t.Errorf("it drained: %v: it %s, and its connection stays", drains, fault.name)
				}
				a.status.Store(200)
				fault.heal()
			}
		}

		is("strict", "UP")
		conn := open(7041)
		strict.wrong.Store(fall - 1)
		eventually(t, "all wrong answers were given", func() bool { return strict.wrong.Load() < 0 })
		if ended(conn, 80*time.Millisecond) || ask("127.0.0.1:7041", "x") != "a" {
			t.Errorf("%d wrong statuses took the server out, and fall is %d", fall-1, fall)
		}
		strict.answers.Store(0)
		strict.status.Store(500)
		is("strict", "DOWN")
		if given := strict.answers.Load(); given < fall {
			t.Errorf("%d wrong statuses took the server out, and fall is %d", given, fall)
		}
		if !ended(conn, time.Second) {
			t.Error("a wrong status, cutAfter is 0s, and the connection stays")
		}
		if got := ask("127.0.0.1:7041", "x"); got == "a" {
			t.Error("failOpen is false, and a server that fails gets a new connection")
		}

		for _, c := range []struct {
			status int32
			state  string
		}{{500, "NOLB"}, {200, "UP"}} {
			if !version(t, tree, "haproxy").KeepsOnWrongStatus() {
				break
			}
			calm.answers.Store(0)
			calm.status.Store(c.status)
			is("calm", c.state)
			if given := calm.answers.Load(); given > 2 { // the first one, and one more until this is seen
				t.Errorf("it took %d answers of status %d until the server was %s", given, c.status, c.state)
			}
		}
	})
}

// ended says whether the other end ends a connection in that time.
func ended(conn net.Conn, within time.Duration) bool {
	conn.SetReadDeadline(time.Now().Add(within))
	_, err := conn.Read(make([]byte, 1))
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// TestBindAndTimeouts: a service on two addresses and nowhere else, with a patience of its own.
func TestBindAndTimeouts(t *testing.T) {
	inTrees(t, func(t *testing.T, tree string) {
		greeter(t, "127.0.0.1:8030", "web")
		haproxy(t, tree, `
- name: web
  bind: [127.0.0.1, 127.0.0.2]
  port: 7030
  servers: [{address: 127.0.0.1, port: 8030}]
  timeouts: {tunnel: 500ms}
- {name: calm, port: 7031, servers: [{address: 127.0.0.1, port: 8030}]}
`, 7030)
		for address, want := range map[string]string{"127.0.0.1:7030": "web", "127.0.0.2:7030": "web", "127.0.0.3:7030": "connection refused"} {
			if got := ask(address, "x"); !strings.HasSuffix(got, want) {
				t.Errorf("%s: %q", address, got)
			}
		}
		for port, ends := range map[int]bool{7030: true, 7031: false} {
			c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				t.Fatal(err)
			}
			answer(c, "x")
			c.SetReadDeadline(time.Now().Add(2 * time.Second))
			if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) == ends {
				t.Errorf("port %d: silence ends the connection: %v", port, !ends)
			}
			c.Close()
		}
	})
}
