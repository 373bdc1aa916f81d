package export

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"rlb.dev/rlb-agent/cmd/rlb-agent/page"
)

// Limits on clients.
const (
	maxConns    = 64               // at a time, see conns
	maxHeader   = 8 << 10          // bytes of a request's header
	headTime    = 2 * time.Second  // for a request's header to arrive
	requestTime = 5 * time.Second  // for a whole request to arrive
	answerTime  = 10 * time.Second // for a whole answer to be sent
)

// newServer returns a server that answers one GET or HEAD per connection. known reports which names in a Host
// field are this host's; nil accepts all. stream serves the streams.
func newServer(log *slog.Logger, show pages, known func(ctx context.Context, host string) bool, stream http.HandlerFunc) *http.Server {
	server := &http.Server{
		Handler:           handler{show, known, stream},
		ReadHeaderTimeout: headTime,
		ReadTimeout:       requestTime,
		WriteTimeout:      answerTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		// refuse a request for "*" like any other path without a page
		DisableGeneralOptionsHandler: true,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn)
		},
	}
	// Keep-alive gains nothing at a scrape every 15 seconds.
	server.SetKeepAlivesEnabled(false)
	return server
}

// connKey is the context key of a request's connection.
type connKey struct{}

type handler struct {
	show   pages
	known  func(ctx context.Context, host string) bool
	stream http.HandlerFunc // serves answers with stream set
}

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		c.asked()
	}
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", page.Policy)
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	a := h.answer(r)
	if a.stream && r.Method == http.MethodGet {
		h.stream(w, r)
		return
	}
	a.write(w)
}

// write sends an answer.
func (a answer) write(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Type", a.kind)
	header.Set("Content-Length", strconv.Itoa(len(a.body)))
	if a.code == http.StatusMethodNotAllowed {
		header.Set("Allow", "GET, HEAD")
	}
	w.WriteHeader(a.code)
	_, _ = w.Write(a.body) // the client may have disconnected
}

func (h handler) answer(r *http.Request) answer {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return textAnswer(http.StatusMethodNotAllowed, "these pages can only be read")
	case h.known != nil && !h.known(r.Context(), r.Host):
		return textAnswer(http.StatusForbidden, "this host is not known by that name: ask by its IP address, or enter the name in its /etc/hosts")
	}
	if a, ok := h.show(r.Context(), r.URL.Path); ok {
		return a
	}
	return textAnswer(http.StatusNotFound, "there is no such page")
}
