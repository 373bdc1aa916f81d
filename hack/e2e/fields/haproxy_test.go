// Package fields tests fields of the spec with each release's own HAProxy and keepalived, without hosts: what arrives
// at the servers, and which of them a client gets.
package fields

import (
	"cmp"
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

// rendered returns the file of a kind for the tree's programs; the first one if there are several.
func rendered(t *testing.T, tree, yaml string, kind render.Kind) string {
	t.Helper()
	return renderedAll(t, tree, yaml, kind)[0]
}

// renderedAll returns the files of a kind for the first node of a spec.
func renderedAll(t *testing.T, tree, yaml string, kind render.Kind) (files []string) {
	t.Helper()
	doc, err := api.Parse("spec.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	facts := render.Facts{
		Interface: cmp.Or(doc.Spec.VRRP.Interface, "eth0"), Subnets: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/64")},
		HAProxyVersion: version(t, tree, "haproxy"), KeepalivedVersion: version(t, tree, "keepalived"), Systemctl: "/usr/bin/true",
	}
	if len(doc.Spec.Nodes) > 0 {
		facts.Node = doc.Spec.Nodes[0].Name
	}
	all, err := render.Render(&doc.Spec, facts)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all.Files {
		if f.Kind == kind {
			files = append(files, string(f.Data))
		}
	}
	if len(files) == 0 {
		t.Fatal("nothing is rendered")
	}
	return files
}

// haproxy runs the tree's own HAProxy with some services, and waits until one of their ports listens.
func haproxy(t *testing.T, tree, services string, port int) {
	t.Helper()
	haproxyOf(t, tree, head+"services:\n"+services, port)
}

// haproxyOf is haproxy with a whole spec.
func haproxyOf(t *testing.T, tree, yaml string, port int) {
	t.Helper()
	write(t, tree, "etc/haproxy/haproxy.cfg", rendered(t, tree, yaml, render.HAProxyConfig))
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

// states returns the states of a backend's servers, in HAProxy's words.
func states(t *testing.T, tree, backend string) []string {
	t.Helper()
	return stats(t, tree, "4", backend, "status")
}

// stats returns the values of a column of HAProxy's statistics for a backend: type 2 is the backend itself, type 4 its
// servers (management guide §9.1).
func stats(t *testing.T, tree, kind, backend, column string) (all []string) {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(tell(t, tree, "show stat -1 "+kind+" -1"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.Index(rows[0], column)
	for _, row := range rows[1:] {
		if row[0] == backend {
			all = append(all, row[at])
		}
	}
	return all
}

// queued returns how many connections wait for a server of a backend.
func queued(t *testing.T, tree, backend string) string {
	t.Helper()
	return stats(t, tree, "2", backend, "qcur")[0]
}

// tell returns HAProxy's answer to a command on its admin socket.
func tell(t *testing.T, tree, command string) string {
	t.Helper()
	c, err := net.Dial("unix", filepath.Join(tree, render.StatsSocket))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, command+"\n")
	said, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(said)
}

// TestProxyProtocol: what the servers are told about the client; checks send the same header if they use the same port.
func TestProxyProtocol(t *testing.T) {
	inTrees(t, func(t *testing.T, tree string) {
		var one, two, other first
		listen(t, "127.0.0.1:8001", one.serve)
		listen(t, "127.0.0.1:8002", two.serve)
		listen(t, "127.0.0.1:8003", other.serve)
		// none of the servers answers a check well
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
		// HAProxy cuts connections at that moment
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

// TestCheckRequests: the request of a check as the server sees it, and the server name in its TLS handshake.
func TestCheckRequests(t *testing.T) {
	rows := []struct{ check, want string }{
		{"type: http", "GET HTTP/1.0"},
		{"type: http, method: HEAD", "HEAD HTTP/1.0"},
		{"type: http, method: OPTIONS", "OPTIONS HTTP/1.0"},
		{"type: http, host: web.example.org", "GET HTTP/1.1 web.example.org"},
		{"type: http, method: HEAD, host: web.example.org", "HEAD HTTP/1.1 web.example.org"},
		{"type: https, method: GET", "GET HTTP/1.0"},
		{"type: https, method: HEAD, host: a.example.org", "HEAD HTTP/1.1 a.example.org a.example.org"},
		{"type: https, method: OPTIONS, host: b.example.org", "OPTIONS HTTP/1.1 b.example.org b.example.org"},
	}
	inTrees(t, func(t *testing.T, tree string) {
		var mu sync.Mutex
		asked := map[string]string{} // by the path
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			said := r.Method + " " + r.Proto + " " + r.Host
			if r.TLS != nil {
				said += " " + r.TLS.ServerName
			}
			mu.Lock()
			asked[r.URL.String()] = strings.TrimSpace(said)
			mu.Unlock()
		})
		for address, config := range map[string]*tls.Config{"127.0.0.1:8004": {Certificates: []tls.Certificate{certificate(t)}}, "127.0.0.1:8005": nil} {
			l, err := net.Listen("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			if config != nil {
				l = tls.NewListener(l, config)
			}
			server := &http.Server{Handler: handler}
			t.Cleanup(func() { server.Close() })
			go server.Serve(l)
		}
		services := ""
		for i, row := range rows {
			port := 8005
			if strings.HasPrefix(row.check, "type: https") {
				port = 8004
			}
			services += fmt.Sprintf("- {name: s%d, port: %d, servers: [{address: 127.0.0.1, port: 9}], healthCheck: {%s, port: %d, path: '/x?y=%[1]d', interval: 100ms}}\n", i, 7100+i, row.check, port)
		}
		haproxy(t, tree, services, 7100)
		for i, row := range rows {
			eventually(t, row.check+" is asked as "+row.want, func() bool {
				mu.Lock()
				defer mu.Unlock()
				return asked[fmt.Sprintf("/x?y=%d", i)] == row.want
			})
			eventually(t, row.check+": the server is up", func() bool { return states(t, tree, fmt.Sprintf("s%d", i))[0] == "UP" })
		}
	})
}

// TestServerWords: the words of extraServer apply to the connections to each server, as the server sees them.
func TestServerWords(t *testing.T) {
	inTrees(t, func(t *testing.T, tree string) {
		listen(t, "127.0.0.1:8050", func(c net.Conn) {
			defer c.Close()
			from, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			io.WriteString(c, from+"\n")
		})
		listen(t, "127.0.0.1:8051", func(c net.Conn) {
			defer c.Close()
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate(t)}})
			if s.Handshake() == nil {
				io.WriteString(s, s.ConnectionState().ServerName+"\n")
			}
		})
		haproxy(t, tree, `
- {name: plain, port: 7050, servers: [{address: 127.0.0.1, port: 8050}]}
- {name: source, port: 7051, servers: [{address: 127.0.0.1, port: 8050}], extraServer: source 127.0.0.9}
- {name: tls, port: 7052, servers: [{address: 127.0.0.1, port: 8051}], extraServer: ssl verify none sni str(db.example.org)}
`, 7050)
		for address, want := range map[string]string{"127.0.0.1:7050": "127.0.0.1", "127.0.0.1:7051": "127.0.0.9", "127.0.0.1:7052": "db.example.org"} {
			if got := ask(address, ""); got != want {
				t.Errorf("%s: the server sees %q, want %q", address, got, want)
			}
		}
	})
}

// hello returns the ClientHello of a client that requests a server name.
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

// TestServerNames: a ClientHello leads to the service of its server name, however it is cut into segments.
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

// TestFailOpenAndCutAfter: which servers get new connections, and which keep old ones. c has weight 0 and never gets
// any.
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
			for range 10 { // it stays so: nothing flaps
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

// TestFailOpenLimit: each of a service's two backends has the limit maxConnections. So a server has up to twice as many
// connections: while all servers fail, in addition to those that cutAfter leaves, and after that.
func TestFailOpenLimit(t *testing.T) {
	inTrees(t, func(t *testing.T, tree string) {
		if !version(t, tree, "haproxy").KeepsOnWrongStatus() {
			return // a failing server keeps none
		}
		const limit = 2
		var a health
		var now, most atomic.Int32 // connections of the server
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

// TestCutByFall: a server that refuses its checks, does not answer them or presents another certificate loses its
// connections, even if it was draining. With cutAfter 0s a wrong status counts as such a failure; fewer than fall of
// them do not. Otherwise the first wrong status takes a server out of the rotation, and the first right one brings it
// back.
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
			if given := calm.answers.Load(); given > 2 { // the first one, and one more until this is noticed
				t.Errorf("it took %d answers of status %d until the server was %s", given, c.status, c.state)
			}
		}
	})
}

// ended reports whether the other end closes a connection within that time.
func ended(conn net.Conn, within time.Duration) bool {
	conn.SetReadDeadline(time.Now().Add(within))
	_, err := conn.Read(make([]byte, 1))
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// TestBind: a service listens on two addresses, and nowhere else.
func TestBind(t *testing.T) {
	inTrees(t, func(t *testing.T, tree string) {
		greeter(t, "127.0.0.1:8030", "web")
		haproxy(t, tree, "- {name: web, bind: [127.0.0.1, 127.0.0.2], port: 7030, servers: [{address: 127.0.0.1, port: 8030}]}\n", 7030)
		for address, want := range map[string]string{"127.0.0.1:7030": "web", "127.0.0.2:7030": "web", "127.0.0.3:7030": "connection refused"} {
			if got := ask(address, "x"); !strings.HasSuffix(got, want) {
				t.Errorf("%s: %q", address, got)
			}
		}
	})
}

// TestServiceTimeouts: each timeout of a service ends a connection to this service that is idle for so long, and none
// to another service.
func TestServiceTimeouts(t *testing.T) {
	const own = 500 * time.Millisecond
	inTrees(t, func(t *testing.T, tree string) {
		const answers, never = 8032, 8033 // the second one sends nothing, not even a SYN-ACK
		greeter(t, fmt.Sprintf("127.0.0.1:%d", answers), "web")
		inTree(t, tree, "", "iptables", "-A", "INPUT", "-p", "tcp", "--dport", fmt.Sprint(never), "-j", "DROP")
		rows := []struct {
			timeout string
			server  int
			ends    bool
		}{
			{"client", answers, true}, {"server", answers, true}, {"tunnel", answers, true}, {"", answers, false},
			{"connect", never, true}, {"", never, false},
		}
		services := ""
		for i, row := range rows {
			services += fmt.Sprintf("- {name: s%d, port: %d, servers: [{address: 127.0.0.1, port: %d}], healthCheck: {type: none}", i, 7032+i, row.server)
			if row.timeout != "" {
				services += fmt.Sprintf(", timeouts: {%s: %v}", row.timeout, own)
			}
			services += "}\n"
		}
		// classic has no tunnel timeout, which replaces the two others once a connection is established
		haproxyOf(t, tree, head+"profile: classic\nproxy: {retries: 1, timeouts: {connect: 1m, client: 1m, server: 1m}}\nservices:\n"+services, 7032)
		conns, began := make([]net.Conn, len(rows)), time.Now()
		for i, row := range rows {
			c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", 7032+i))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if conns[i] = c; row.server == answers && answer(c, "x") != "web" {
				t.Fatalf("service %d does not serve", i)
			}
		}
		for i, row := range rows {
			if !row.ends {
				continue
			}
			if !ended(conns[i], waitTime) {
				t.Errorf("timeouts.%s of %v has not ended a connection after %v", row.timeout, own, waitTime)
			} else if took := time.Since(began); took < own {
				t.Errorf("timeouts.%s of %v ended a connection after %v", row.timeout, own, took)
			}
		}
		for i, row := range rows {
			if !row.ends && ended(conns[i], time.Millisecond) {
				t.Errorf("service %d has no timeouts of its own, and its connection ended", i)
			}
		}
	})
}

// TestFieldOrRawLine: which one HAProxy uses if a field and a raw line set the same. validate warns about it.
func TestFieldOrRawLine(t *testing.T) {
	inTrees(t, func(t *testing.T, tree string) {
		greeter(t, "127.0.0.1:8038", "web")
		haproxyOf(t, tree, head+`profile: classic
proxy:
  maxConnections: 1000
  timeouts: {client: 1m, server: 1m}
  extraGlobal: [maxconn 500]
  extraDefaults: [timeout client 1s, balance source]
services:
- name: frontend
  port: 7038
  servers: [{address: 127.0.0.1, port: 8038}]
  timeouts: {client: 1m}
  extraFrontend: [timeout client 500ms]
- name: backend
  port: 7039
  servers: [{address: 127.0.0.1, port: 8038, weight: 3}]
  balance: leastconn
  timeouts: {client: 1m, server: 1m}
  extraBackend: [timeout server 500ms, balance first]
  extraServer: weight 5
- {name: defaults, port: 7040, servers: [{address: 127.0.0.1, port: 8038}]}
- {name: none, port: 7041, servers: [{address: 127.0.0.1, port: 8038}], timeouts: {client: 1m}}
`, 7041)
		conns := map[string]net.Conn{}
		for name, port := range map[string]string{"frontend": "7038", "backend": "7039", "defaults": "7040", "none": "7041"} {
			c, err := net.Dial("tcp", "127.0.0.1:"+port)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if conns[name] = c; answer(c, "x") != "web" {
				t.Fatalf("%s does not serve", name)
			}
		}
		for _, name := range []string{"frontend", "backend", "defaults"} {
			if !ended(conns[name], waitTime) {
				t.Errorf("%s: the timeout is that of the field", name)
			}
		}
		if ended(conns["none"], time.Millisecond) {
			t.Error("a timeout in extraDefaults takes the place of a service's own")
		}
		for _, row := range []struct{ kind, backend, column, want string }{
			{"2", "backend", "algo", "first"}, {"2", "defaults", "algo", "roundrobin"}, {"4", "backend", "weight", "5"},
		} {
			if got := stats(t, tree, row.kind, row.backend, row.column); !slices.Equal(got, []string{row.want}) {
				t.Errorf("%s: %s is %v, want %s", row.backend, row.column, got, row.want)
			}
		}
		if info := tell(t, tree, "show info"); !strings.Contains(info, "\nMaxconn: 1000\n") {
			t.Errorf("of maxConnections and a raw maxconn HAProxy does not take the first:\n%s", info)
		}
	})
}
