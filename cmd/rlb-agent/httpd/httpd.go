// Package httpd is the smallest HTTP/1.1 server that shows a few pages which can only be read (RFC 9110, RFC 9112). It
// stands in for net/http, which would make a small program a third larger: GET and HEAD only, one request a connection,
// bounds on everything that a client decides.
package httpd

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// What a client may cost.
const (
	maxConns     = 16               // at a time; further ones are turned away
	maxHead      = 8 << 10          // bytes of a request
	readTimeout  = 5 * time.Second  // for the whole request
	writeTimeout = 10 * time.Second // for the whole answer
	lingerTime   = 500 * time.Millisecond
)

// Page is an answer.
type Page struct {
	Code int    // HTTP status; 0 is 200
	Type string // its Content-Type
	Body []byte
}

// Server shows pages.
type Server struct {
	// Page is the page at a path, without its query; ok is false where there is none. It is called concurrently.
	Page func(path string) (page Page, ok bool)
	// Local refuses requests under any other name than localhost or an IP address: a browser that was led here under the
	// name of a web site (DNS rebinding) would give that site the answer.
	Local bool

	conns atomic.Int32
}

// Serve answers the listener's connections until it is closed. The error is nil then.
func (s *Server) Serve(l net.Listener) error {
	for pause := time.Duration(0); ; {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil { // no file descriptors left, or a client that went at once
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			time.Sleep(pause)
			continue
		}
		pause = 0
		go s.answer(conn)
	}
}

// answer reads one request and answers it.
func (s *Server) answer(conn net.Conn) {
	defer conn.Close() //nolint:errcheck // all was written, or cannot be
	defer s.conns.Add(-1)
	if s.conns.Add(1) > maxConns {
		send(conn, "GET", plain(503, "too many connections"))
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(readTimeout))
	r, refusal := read(conn)
	switch {
	case refusal == nil:
		send(conn, r.method, s.page(r))
	case refusal.Code != 0:
		send(conn, "GET", *refusal)
	}
}

func (s *Server) page(r request) Page {
	if s.Local && !local(r.host) {
		return plain(403, "this page is shown under localhost and IP addresses only")
	}
	if page, ok := s.Page(r.path); ok {
		return page
	}
	return plain(404, "there is no such page")
}

// plain is a page of one line.
func plain(code int, text string) Page {
	return Page{Code: code, Type: "text/plain; charset=utf-8", Body: []byte(text + "\n")}
}

var reasons = map[int]string{
	200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout",
	431: "Request Header Fields Too Large", 503: "Service Unavailable", 505: "HTTP Version Not Supported",
}

// send writes an answer and ends the connection in order: with an input that was not read, closing would take back what
// was just written.
func send(conn net.Conn, method string, page Page) {
	_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if page.Code == 0 {
		page.Code = 200
	}
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nCache-Control: no-store\r\n"+
		"X-Content-Type-Options: nosniff\r\nContent-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'\r\n",
		page.Code, reasons[page.Code], time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"), page.Type, len(page.Body))
	if page.Code == 405 {
		head += "Allow: GET, HEAD\r\n"
	}
	answer := append([]byte(head), "Connection: close\r\n\r\n"...)
	if method != "HEAD" {
		answer = append(answer, page.Body...)
	}
	if _, err := conn.Write(answer); err != nil {
		return
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = conn.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.CopyN(io.Discard, conn, 64<<10)
	}
}
