package fields

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// What the services of TestEachRawLine lead to.
const (
	answering = 8060 // a greeter
	lost      = 8061 // nothing comes back, not even a SYN-ACK
	closed    = 9
	checked   = 8062 // HTTP
	silent    = 8063 // HTTP without an answer
	secure    = 8064 // HTTPS
)

// rawLines are the settings of api/twice.go, but for those that TestFieldOrRawLine has: what the field says, what the raw line
// says, and how one sees which of them HAProxy takes.
var rawLines = []struct {
	name, proxy, service string
	server               int
	judge                func(t *testing.T, tree string)
}{
	{"retries", "retries: 1, timeouts: {connect: 100ms, client: 1m, server: 1m}, extraDefaults: [retries 4]", ", healthCheck: {type: none}", closed, func(t *testing.T, tree string) {
		ask("127.0.0.1:7060", "x")
		eventually(t, "more than the one retry of this connection and of the one before", func() bool {
			n, err := strconv.Atoi(stats(t, tree, "2", "s", "wretr")[0])
			return err == nil && n >= 4
		})
	}},
	{"timeout connect", "retries: 1, timeouts: {connect: 1m, client: 1m, server: 1m}, extraDefaults: [timeout connect 300ms]", "", lost, ends},
	{"timeout server", "timeouts: {client: 1m, server: 1m}, extraDefaults: [timeout server 300ms]", "", answering, ends},
	{"timeout tunnel", "timeouts: {client: 1m, server: 1m, tunnel: 1m}, extraDefaults: [timeout tunnel 300ms]", "", answering, ends},
	{"timeout connect of a service", "retries: 1, timeouts: {client: 1m}", ", timeouts: {connect: 1m}, extraBackend: [timeout connect 300ms]", lost, ends},
	{"timeout tunnel of a service", "timeouts: {client: 1m, server: 1m}", ", timeouts: {tunnel: 1m}, extraBackend: [timeout tunnel 300ms]", answering, ends},
	{"hard-stop-after", "hardStopAfter: 1m, timeouts: {client: 1m, server: 1m}, extraGlobal: [hard-stop-after 300ms]", "", answering, func(t *testing.T, tree string) {
		c := served(t)
		pid, err := strconv.Atoi(regexp.MustCompile(`(?m)^Pid: (\d+)$`).FindStringSubmatch(tell(t, tree, "show info"))[1])
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil { // as the reload does with the process before
			t.Fatal(err)
		}
		if !ended(c, waitTime) {
			t.Error("a connection to a process that was to stop goes on")
		}
	}},
	{"option httpchk", "", ", healthCheck: {type: http, port: 8062, path: /field, interval: 100ms}, extraBackend: [option httpchk HEAD /raw]", answering, func(t *testing.T, _ string) {
		eventually(t, "checks ask for what the raw line says", func() bool { return asked.Load() == "HEAD /raw" })
	}},
	{"timeout check", "", ", healthCheck: {type: http, port: 8063, interval: 100ms, timeout: 1m}, extraBackend: [timeout check 300ms]", answering, timesOut},
	{"timeout check, no effect", "extraDefaults: [timeout check 1m]", ", healthCheck: {type: http, port: 8063, interval: 100ms, timeout: 300ms}", answering, timesOut},
	{"server", "", ", healthCheck: {type: http, port: 8063, interval: 1m, rise: 2, fall: 3}, extraServer: inter 100ms rise 4 fall 5 port 8062 maxconn 7", answering, func(t *testing.T, tree string) {
		before := checks.Load()
		eventually(t, "checks of the raw port at the raw interval", func() bool { return checks.Load() > before+3 })
		columns(t, tree, map[string]string{"check_rise": "4", "check_fall": "5", "slim": "7"})
	}},
	{"server, TLS", "", ", healthCheck: {type: https, port: 8064, interval: 100ms, host: field.example, caFile: /etc/rlb/field.crt}, extraServer: check-sni raw.example ca-file /etc/rlb/raw.crt", answering, func(t *testing.T, tree string) {
		eventually(t, "the certificate is verified by the raw ca-file", func() bool { return slices.Equal(stats(t, tree, "4", "s", "check_status"), []string{"L7OK"}) })
		if name := askedFor.Load(); name != "raw.example" {
			t.Errorf("the check asks for %v", name)
		}
	}},
	{"default-server, no effect", "", ", healthCheck: {type: http, port: 8062, interval: 1m, rise: 2, fall: 3}, extraBackend: [default-server inter 100ms rise 4 fall 5]", answering, func(t *testing.T, tree string) {
		eventually(t, "the first check", func() bool { return slices.Equal(stats(t, tree, "4", "s", "check_status"), []string{"L7OK"}) })
		before := checks.Load()
		time.Sleep(500 * time.Millisecond)
		if more := checks.Load() - before; more > 1 {
			t.Errorf("%d checks within half a second, and healthCheck.interval is a minute", more)
		}
		columns(t, tree, map[string]string{"check_rise": "2", "check_fall": "3"})
	}},
}

// What the server of checks was asked last, and how often.
var (
	asked    atomic.Value
	askedFor atomic.Value // by its name in TLS
	checks   atomic.Int64
)

// TestEachRawLine: validate says of each of them which one HAProxy takes, the field's or the raw line's, and each release's own
// HAProxy does so.
func TestEachRawLine(t *testing.T) {
	inTreesAtOnce(t, func(t *testing.T, tree string) {
		greeter(t, fmt.Sprintf("127.0.0.1:%d", answering), "web")
		inTree(t, tree, "", "iptables", "-A", "INPUT", "-p", "tcp", "--dport", fmt.Sprint(lost), "-j", "DROP")
		own := certificate(t, "raw.example")
		for name, c := range map[string]tls.Certificate{"raw": own, "field": certificate(t)} {
			write(t, tree, "etc/rlb/"+name+".crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})))
		}
		for port, serve := range map[int]http.HandlerFunc{
			checked: func(_ http.ResponseWriter, r *http.Request) {
				asked.Store(r.Method + " " + r.URL.String())
				checks.Add(1)
			},
			secure: func(_ http.ResponseWriter, r *http.Request) { askedFor.Store(r.TLS.ServerName) },
			silent: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		} {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				t.Fatal(err)
			}
			if port == secure {
				l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{own}})
			}
			server := &http.Server{Handler: serve}
			t.Cleanup(func() { server.Close() })
			go server.Serve(l)
		}
		for _, row := range rawLines {
			t.Run(row.name, func(t *testing.T) {
				// classic has no tunnel timeout, which would take the place of the two others once there is a connection
				haproxyOf(t, tree, fmt.Sprintf("%sprofile: classic\nproxy: {%s}\nservices:\n- {name: s, port: 7060, servers: [{address: 127.0.0.1, port: %d, maxConnections: 50}]%s}\n",
					head, row.proxy, row.server, row.service), 7060)
				row.judge(t, tree)
			})
		}
	})
}

// served is a connection that a server has answered on.
func served(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", "127.0.0.1:7060")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if got := answer(c, "x"); got != "web" {
		t.Fatalf("the service does not serve: %s", got)
	}
	return c
}

// ends judges that a connection ends before the minute of the field.
func ends(t *testing.T, _ string) {
	t.Helper()
	c, err := net.Dial("tcp", "127.0.0.1:7060")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "x")
	if got := answer(c); got != "web" && got != io.EOF.Error() {
		t.Fatal(got)
	} else if got == "web" && !ended(c, waitTime) {
		t.Error("the connection goes on")
	}
}

func timesOut(t *testing.T, tree string) {
	t.Helper()
	eventually(t, "a check times out", func() bool { return slices.Equal(stats(t, tree, "4", "s", "check_status"), []string{"L7TOUT"}) })
}

// columns judges what HAProxy's statistics say of the server.
func columns(t *testing.T, tree string, all map[string]string) {
	t.Helper()
	for column, want := range all {
		if got := stats(t, tree, "4", "s", column); !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %v, want %s", column, got, want)
		}
	}
}
