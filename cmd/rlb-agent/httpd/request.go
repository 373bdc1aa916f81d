package httpd

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
)

// request is what counts of one.
type request struct {
	method string // GET or HEAD
	path   string // without the query
	host   string // with its port
}

// read reads a request's head. What the client did wrong is a page; one that went is a page without a code.
func read(conn io.Reader) (request, *Page) {
	limit := &io.LimitedReader{R: conn, N: maxHead}
	lines := head{bufio.NewReader(limit), limit}
	first, refusal := lines.next()
	if refusal == nil && first == "" { // one empty line before the request is forgiven (RFC 9112 §2.2)
		first, refusal = lines.next()
	}
	if refusal != nil {
		return request{}, refusal
	}
	r, version, refusal := requestLine(first)
	if refusal != nil {
		return request{}, refusal
	}
	hosts := 0
	for {
		field, refusal := lines.next()
		if refusal != nil {
			return request{}, refusal
		}
		if field == "" {
			break
		}
		name, value, ok := strings.Cut(field, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") { // folded lines begin with a space
			return request{}, wrong(400, "a header field is malformed")
		}
		if strings.EqualFold(name, "Host") {
			hosts++
			if r.host == "" { // that of an absolute target counts more
				r.host = strings.TrimSpace(value)
			}
		}
	}
	if hosts > 1 || hosts == 0 && version != "HTTP/1.0" {
		return request{}, wrong(400, "there must be one Host field")
	}
	return r, nil
}

// requestLine reads "GET /metrics HTTP/1.1". The target may have the form that proxies use, "http://host/metrics".
func requestLine(text string) (r request, version string, refusal *Page) {
	words := strings.Split(text, " ")
	if len(words) != 3 {
		return r, "", wrong(400, "the request is malformed")
	}
	r.method, r.path, version = words[0], words[1], words[2]
	switch {
	case !strings.HasPrefix(version, "HTTP/"):
		return r, "", wrong(400, "the request is malformed")
	case !strings.HasPrefix(version, "HTTP/1."):
		return r, "", wrong(505, "this server speaks HTTP/1.1")
	case r.method != "GET" && r.method != "HEAD":
		return r, "", wrong(405, "these pages can only be read")
	}
	if scheme, rest, absolute := strings.Cut(r.path, "://"); absolute && strings.EqualFold(scheme, "http") {
		host, path, _ := strings.Cut(rest, "/")
		r.host, r.path = host, "/"+path
	}
	r.path, _, _ = strings.Cut(r.path, "?")
	if !strings.HasPrefix(r.path, "/") {
		return r, "", wrong(400, "the target must be a path")
	}
	return r, version, nil
}

// head is the beginning of a request, line by line.
type head struct {
	*bufio.Reader
	limit *io.LimitedReader
}

// next is the next line without its end.
func (h head) next() (string, *Page) {
	text, err := h.ReadString('\n')
	switch {
	case err == nil:
		return strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r"), nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "", wrong(408, "the request took too long")
	case h.limit.N == 0:
		return "", wrong(431, "the request is too large")
	}
	return "", &Page{} // the client went
}

func wrong(code int, text string) *Page {
	page := plain(code, text)
	return &page
}

// local says whether a Host field names this machine in a way that no other can claim in the DNS.
func local(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return strings.EqualFold(strings.TrimSuffix(name, "."), "localhost")
}
