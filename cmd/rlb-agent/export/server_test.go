package export

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/cmd/rlb-agent/page"
)

// somePages serves /, /metrics and some others.
func somePages(_ context.Context, path string) (answer, bool) {
	all := map[string]answer{"/": {code: 200, kind: "text/html", body: []byte("<p>hello")}, "/metrics": {code: 200, kind: "text/plain", body: []byte("up 1\n")},
		"/soon": {code: 503, kind: "text/plain", body: []byte("not yet\n")}, "/big": {code: 200, kind: "text/plain", body: make([]byte, 1<<20)}}
	one, ok := all[path]
	return one, ok
}

// serve serves pages on a listener.
func serve(t *testing.T, l net.Listener, show pages) {
	server := newServer(slog.New(slog.DiscardHandler), show, nil, nil)
	done := make(chan error)
	go func() { done <- server.Serve(&conns{Listener: l, most: maxConns}) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
}

func start(t *testing.T, network, address string, show pages) net.Addr {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, show)
	return l.Addr()
}

// say sends bytes and reads the answer like an HTTP client, until the connection ends.
func say(t *testing.T, addr net.Addr, text string) (response *http.Response, body string) {
	t.Helper()
	conn, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(text, " ")
	response, err = http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%.60q: %v", text, err)
	}
	all, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(all)
}

func TestAnswers(t *testing.T) {
	addr := start(t, "tcp", "127.0.0.1:0", somePages)
	long := strings.Repeat("x", 2*maxHeader)
	for name, test := range map[string]struct {
		text string
		code int
		body string // "": the text is net/http's own
	}{
		"a page":           {"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 200, "up 1\n"},
		"bare line ends":   {"GET /metrics HTTP/1.1\nHost: x\n\n", 200, "up 1\n"},
		"HTTP/1.0":         {"GET / HTTP/1.0\r\n\r\n", 200, "<p>hello"},
		"a query":          {"GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n", 200, "up 1\n"},
		"through a proxy":  {"GET http://lb1:9345/metrics HTTP/1.1\r\nHost: x\r\n\r\n", 200, "up 1\n"},
		"head":             {"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 200, ""},
		"keep alive":       {"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", 200, "up 1\n"},
		"not yet":          {"GET /soon HTTP/1.1\r\nHost: x\r\n\r\n", 503, "not yet\n"},
		"with a body":      {"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 200, "up 1\n"},
		"no such page":     {"GET /../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 404, "there is no such page\n"},
		"write":            {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 405, "these pages can only be read\n"},
		"a large body":     {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n" + strings.Repeat("x", 40000), 405, "these pages can only be read\n"},
		"HTTP/2":           {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 405, "these pages can only be read\n"},
		"another version":  {"GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505, ""},
		"options":          {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 405, "these pages can only be read\n"},
		"nonsense":         {"\x16\x03\x01 hello\r\n\r\n", 400, ""},
		"no path":          {"GET * HTTP/1.1\r\nHost: x\r\n\r\n", 404, "there is no such page\n"},
		"no host":          {"GET / HTTP/1.1\r\n\r\n", 400, ""},
		"two hosts":        {"GET / HTTP/1.1\r\nHost: x\r\nhost: y\r\n\r\n", 400, ""},
		"space in a field": {"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400, ""},
		"long line":        {"GET /" + long + " HTTP/1.1\r\nHost: x\r\n\r\n", 431, ""},
		"many fields":      {"GET / HTTP/1.1\r\n" + strings.Repeat("a: b\r\n", len(long)/6) + "\r\n", 431, ""},
	} {
		t.Run(name, func(t *testing.T) {
			response, body := say(t, addr, test.text)
			ours := test.body != "" || name == "head"
			if response.StatusCode != test.code || ours && body != test.body {
				t.Fatalf("got %d, %q; want %d, %q", response.StatusCode, body, test.code, test.body)
			}
			if !response.Close && response.Proto == "HTTP/1.1" {
				t.Error("the connection stays open")
			}
			if !ours {
				return
			}
			if name != "head" && response.ContentLength != int64(len(body)) {
				t.Errorf("length %d", response.ContentLength)
			}
			if _, err := http.ParseTime(response.Header.Get("Date")); err != nil {
				t.Error(err)
			}
			for field, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
				"Content-Security-Policy": page.Policy, "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin"} {
				if got := response.Header.Get(field); got != want {
					t.Errorf("%s: %q", field, got)
				}
			}
			if code := response.StatusCode; code == 405 && response.Header.Get("Allow") != "GET, HEAD" {
				t.Error("405 without Allow")
			}
		})
	}
}

// TestRealClient: Go's own client gets large pages completely, over TCP and a unix socket.
func TestRealClient(t *testing.T) {
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		addr := start(t, network, address, somePages)
		client := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return net.Dial(addr.Network(), addr.String())
		}}}
		for range 3 {
			response, err := client.Get("http://localhost:8345/big")
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			if err != nil || len(body) != 1<<20 {
				t.Errorf("%s: %d bytes, %v", network, len(body), err)
			}
			response.Body.Close()
		}
	}
}

// TestSilentClients: a client that does not finish its request is disconnected in time.
func TestSilentClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &pipes{made: make(chan net.Conn), closed: make(chan struct{})}
		serve(t, l, somePages)
		for begin, most := range map[string]time.Duration{"": headTime, "GET / HTTP/1.1\r\n": headTime,
			"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc": requestTime} {
			began, client := time.Now(), l.dial()
			go func() { _, _ = io.WriteString(client, begin) }()
			_, _ = io.Copy(io.Discard, client) // until the server closes
			if took := time.Since(began); took > most+time.Second {
				t.Errorf("%q: sent away after %v", begin, took)
			}
			_ = client.Close()
		}
	})
}

// TestClientThatDoesNotRead: a client that does not read its answer is disconnected in time.
func TestClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &pipes{made: make(chan net.Conn), closed: make(chan struct{})}
		serve(t, l, somePages)
		client := l.dial()
		_, _ = io.WriteString(client, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
		time.Sleep(answerTime + time.Second)
		if text, _ := io.ReadAll(client); len(text) > 0 {
			t.Errorf("got %d bytes after that", len(text))
		}
	})
}

// pipes is a listener in memory.
type pipes struct {
	made   chan net.Conn
	closed chan struct{}
}

func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.made <- there
	return here
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.made:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

// TestHalfOpenConnections: many connections that send nothing, or half a request, do not keep other
// clients from the metrics.
func TestHalfOpenConnections(t *testing.T) {
	for _, begin := range []string{"", "GET /metrics HTTP/1.1\r\nHo"} {
		addr := start(t, "tcp", "127.0.0.1:0", somePages)
		for range 4 * maxConns {
			conn, err := net.Dial("tcp", addr.String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, begin)
		}
		for range 10 {
			began := time.Now()
			response, body := say(t, addr, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
			if took := time.Since(began); response.StatusCode != 200 || body != "up 1\n" || took > headTime/4 {
				t.Errorf("behind %q: %d, %q after %v", begin, response.StatusCode, body, took)
			}
		}
	}
}

// TestHalfOpenConnectionsDoNotEndAnAnswer: a client gets a slow answer, however many silent
// connections arrive meanwhile.
func TestHalfOpenConnectionsDoNotEndAnAnswer(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	addr := start(t, "tcp", "127.0.0.1:0", func(context.Context, string) (answer, bool) {
		close(begun)
		<-end
		return textAnswer(200, "at last"), true
	})
	got := make(chan string)
	go func() {
		conn, err := net.Dial("tcp", addr.String())
		if err != nil {
			got <- err.Error()
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		all, _ := io.ReadAll(conn)
		got <- string(all)
	}()
	<-begun
	for range 2 * maxConns {
		conn, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	time.Sleep(50 * time.Millisecond) // until they are accepted
	close(end)
	if text := <-got; !strings.HasSuffix(text, "at last\n") {
		t.Errorf("got %q", text)
	}
}

// TestClientsThatDoNotRead: clients that request much and read nothing do not keep other clients
// from the metrics.
func TestClientsThatDoNotRead(t *testing.T) {
	addr := start(t, "tcp", "127.0.0.1:0", somePages)
	for range 2 * maxConns {
		conn, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.(*net.TCPConn).SetReadBuffer(4096)
		_, _ = io.WriteString(conn, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	began := time.Now()
	if response, body := say(t, addr, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"); response.StatusCode != 200 || body != "up 1\n" || time.Since(began) > answerTime/10 {
		t.Errorf("%d, %q after %v", response.StatusCode, body, time.Since(began))
	}
}

// TestConns: the limit on open connections holds, and connections with a request stay open.
func TestConns(t *testing.T) {
	l := &pipes{made: make(chan net.Conn), closed: make(chan struct{})}
	c := &conns{Listener: l, most: 2}
	accept := func() (*conn, net.Conn) {
		client := make(chan net.Conn, 1)
		go func() { client <- l.dial() }()
		one, err := c.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return one.(*conn), <-client
	}
	open := func(client net.Conn) bool {
		_ = client.SetReadDeadline(time.Now().Add(time.Millisecond))
		_, err := client.Read(make([]byte, 1))
		return err != io.EOF
	}
	first, one := accept()
	first.asked()
	_, two := accept()
	third, three := accept() // replaces the second one
	if got := fmt.Sprint(open(one), open(two), open(three)); got != "true false true" {
		t.Errorf("open: %s", got)
	}
	third.asked()
	_, four := accept() // all have a request: replaces the oldest
	if got := fmt.Sprint(open(one), open(three), open(four)); got != "false true true" {
		t.Errorf("open: %s", got)
	}
	_ = third.Close()
	if len(c.open) != 1 {
		t.Errorf("%d connections count", len(c.open))
	}
}
