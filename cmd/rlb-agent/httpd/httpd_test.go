package httpd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// start is a server with the pages / and /metrics.
func start(t *testing.T, network, address string, local bool) net.Addr {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Local: local, Page: func(path string) (Page, bool) {
		pages := map[string]Page{"/": {Type: "text/html", Body: []byte("<p>hello")}, "/metrics": {Type: "text/plain", Body: []byte("up 1\n")},
			"/soon": {Code: 503, Type: "text/plain", Body: []byte("not yet\n")}, "/big": {Body: make([]byte, 1<<20)}}
		page, ok := pages[path]
		return page, ok
	}}
	done := make(chan error)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = l.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr()
}

// say sends bytes and reads the answer as an HTTP client would, to the end of the connection.
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
	addr := start(t, "tcp", "127.0.0.1:0", false)
	long := strings.Repeat("x", maxHead)
	for name, test := range map[string]struct {
		text string
		code int
		body string
	}{
		"a page":           {"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 200, "up 1\n"},
		"bare line ends":   {"GET /metrics HTTP/1.1\nHost: x\n\n", 200, "up 1\n"},
		"an empty line":    {"\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 200, "up 1\n"},
		"HTTP/1.0":         {"GET / HTTP/1.0\r\n\r\n", 200, "<p>hello"},
		"a query":          {"GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n", 200, "up 1\n"},
		"through a proxy":  {"GET http://lb1:9345/metrics HTTP/1.1\r\nHost: x\r\n\r\n", 200, "up 1\n"},
		"head":             {"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 200, ""},
		"not yet":          {"GET /soon HTTP/1.1\r\nHost: x\r\n\r\n", 503, "not yet\n"},
		"with a body":      {"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 200, "up 1\n"},
		"no such page":     {"GET /../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 404, "there is no such page\n"},
		"write":            {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 405, "these pages can only be read\n"},
		"a large body":     {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n" + strings.Repeat("x", 40000), 405, "these pages can only be read\n"},
		"HTTP/2":           {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "this server speaks HTTP/1.1\n"},
		"nonsense":         {"\x16\x03\x01 hello\r\n\r\n", 400, "the request is malformed\n"},
		"no path":          {"GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400, "the target must be a path\n"},
		"no host":          {"GET / HTTP/1.1\r\n\r\n", 400, "there must be one Host field\n"},
		"two hosts":        {"GET / HTTP/1.1\r\nHost: x\r\nhost: y\r\n\r\n", 400, "there must be one Host field\n"},
		"folded field":     {"GET / HTTP/1.1\r\nHost: x\r\n y: z\r\n\r\n", 400, "a header field is malformed\n"},
		"space in a field": {"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400, "a header field is malformed\n"},
		"long line":        {"GET /" + long + " HTTP/1.1\r\nHost: x\r\n\r\n", 431, "the request is too large\n"},
		"many fields":      {"GET / HTTP/1.1\r\n" + strings.Repeat("a: b\r\n", maxHead/6+1) + "\r\n", 431, "the request is too large\n"},
		"ends at a line":   {"GET / HTTP/1.1\r\n" + strings.Repeat("a: bcd\r\n", (maxHead-16)/8) + "a: bcd\r\n", 431, "the request is too large\n"},
	} {
		t.Run(name, func(t *testing.T) {
			response, body := say(t, addr, test.text)
			if response.StatusCode != test.code || body != test.body {
				t.Errorf("got %d, %q; want %d, %q", response.StatusCode, body, test.code, test.body)
			}
			if response.StatusCode == 200 && name != "head" && response.ContentLength != int64(len(body)) {
				t.Errorf("length %d", response.ContentLength)
			}
			if _, err := http.ParseTime(response.Header.Get("Date")); err != nil || !response.Close && response.Proto == "HTTP/1.1" {
				t.Errorf("date %v, close %t", err, response.Close)
			}
			if code := response.StatusCode; code == 405 && response.Header.Get("Allow") != "GET, HEAD" {
				t.Error("405 without Allow")
			}
		})
	}
}

// Go's own client understands it, over TCP and a unix socket, and gets large pages whole.
func TestRealClient(t *testing.T) {
	for network, address := range map[string]string{"tcp": "[::1]:0", "unix": filepath.Join(t.TempDir(), "s")} {
		if network == "tcp" {
			if l, err := net.Listen(network, address); err != nil {
				address = "127.0.0.1:0"
			} else {
				_ = l.Close()
			}
		}
		addr := start(t, network, address, true)
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

// A browser that was led here under a web site's name gets nothing.
func TestLocal(t *testing.T) {
	addr := start(t, "tcp", "127.0.0.1:0", true)
	for host, code := range map[string]int{
		"localhost": 200, "LOCALHOST:8345": 200, "localhost.": 200, "127.0.0.1:8345": 200, "[::1]:8345": 200, "::1": 200, "192.0.2.1": 200,
		"evil.example": 403, "evil.example:8345": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403, "": 403,
	} {
		if response, _ := say(t, addr, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); response.StatusCode != code {
			t.Errorf("Host %q: %d, want %d", host, response.StatusCode, code)
		}
	}
	if response, _ := say(t, addr, "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n"); response.StatusCode != 403 {
		t.Errorf("absolute target: %d", response.StatusCode)
	}
	if response, _ := say(t, addr, "GET / HTTP/1.0\r\n\r\n"); response.StatusCode != 403 {
		t.Errorf("no Host: %d", response.StatusCode)
	}
}

// Who says nothing is sent away in time, and who says nothing many times keeps nobody out for long.
func TestSilentClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Page: func(string) (Page, bool) { return Page{Body: []byte("x")}, true }}
		var silent []net.Conn
		ask := func(conn net.Conn) string {
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				return err.Error()
			}
			return fmt.Sprint(response.StatusCode)
		}
		connect := func() net.Conn {
			here, there := net.Pipe()
			go s.answer(there)
			synctest.Wait() // until it reads
			return here
		}
		began := time.Now()
		for range maxConns {
			silent = append(silent, connect())
		}
		if got := ask(connect()); got != "503" {
			t.Errorf("one too many: %s", got)
		}
		for _, conn := range silent {
			if got := ask(conn); got != "408" {
				t.Errorf("silent: %s", got)
			}
			conn.Close()
		}
		if took := time.Since(began); took != readTimeout {
			t.Errorf("sent away after %v", took)
		}
		synctest.Wait()
		conn := connect()
		go io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if got := ask(conn); got != "200" {
			t.Errorf("after that: %s", got)
		}
		conn.Close()
	})
}
