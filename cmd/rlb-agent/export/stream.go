package export

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"rlb.dev/rlb-agent/cmd/rlb-agent/page"
	"rlb.dev/rlb-agent/reconcile/wake"
)

// Limits on open pages.
const (
	maxStreams  = 16               // at a time, at all addresses; further browsers reload the page every few seconds
	streamLook  = time.Second      // between two looks at the host when no change is reported
	streamAlive = 5 * time.Second  // between two keep-alive events, so that a dead connection is noticed
	streamTime  = 5 * time.Second  // for an event to be sent; a slower reader is disconnected
	streamLife  = 10 * time.Minute // of a stream; then the browser opens the next one by itself
	streamPause = 2 * time.Second  // how long the browser waits before that
	streamSend  = 4 << 10          // bytes of the kernel's send buffer, so that a reader that does not read is noticed soon
)

// watchers are the open streams. One goroutine looks at the host for all of them, as long as there are any.
type watchers struct {
	mutex     sync.Mutex
	all       map[chan struct{}]bool
	producing bool          // the goroutine runs; after the last stream it may still be looking
	version   string        // of the page
	bell      chan struct{} // the page may have changed
}

// poke reports that the page may have changed. It never waits.
func (w *watchers) poke() { wake.Up(w.bell) }

// join opens a stream. Its bell rings when the version changes. look returns the version; it is called until ctx ends.
func (w *watchers) join(ctx context.Context, look func(context.Context) string) (bell chan struct{}, ok bool) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if len(w.all) >= maxStreams {
		return nil, false
	}
	bell = make(chan struct{}, 1)
	w.all[bell] = true
	if !w.producing {
		w.producing = true
		go w.produce(ctx, look)
	}
	return bell, true
}

func (w *watchers) leave(bell chan struct{}) {
	w.mutex.Lock()
	delete(w.all, bell)
	w.mutex.Unlock()
	w.poke() // after the last stream the goroutine ends
}

// produce calls look until there are no streams.
func (w *watchers) produce(ctx context.Context, look func(context.Context) string) {
	timer := time.NewTicker(streamLook)
	defer timer.Stop()
	for {
		version := look(ctx)
		w.mutex.Lock()
		if len(w.all) == 0 || ctx.Err() != nil {
			w.version, w.producing = "", false
			w.mutex.Unlock()
			return
		}
		if version != w.version {
			w.version = version
			for bell := range w.all {
				wake.Up(bell)
			}
		}
		w.mutex.Unlock()
		select {
		case <-w.bell:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

func (w *watchers) now() string {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.version
}

// look returns the version of the page now.
func (e *Exporter) look(ctx context.Context) string {
	e.story.read(e.Story, e.watchers.poke, 0)
	_, version := page.HTML(e.view(ctx), time.Now())
	return version
}

// stream sends a client each new version of the page, until the client disconnects or does not read.
func (e *Exporter) stream(w http.ResponseWriter, r *http.Request) {
	// Another web site cannot read this, but it could keep streams open.
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		textAnswer(http.StatusForbidden, "this is for the page of this host").write(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), streamLife)
	defer cancel()
	// The goroutine serves all streams and outlives this one.
	bell, ok := e.watchers.join(context.WithoutCancel(ctx), e.look)
	if !ok {
		w.Header().Set("Retry-After", "30")
		textAnswer(http.StatusServiceUnavailable, "too many watch this page").write(w)
		return
	}
	defer e.watchers.leave(bell)
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		c.keepLittle(streamSend)
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // the request has arrived; nothing more is expected
	w.Header().Set("Content-Type", "text/event-stream")
	say := func(format string, args ...any) bool {
		_ = control.SetWriteDeadline(time.Now().Add(streamTime))
		_, err := fmt.Fprintf(w, format, args...)
		return err == nil && control.Flush() == nil
	}
	if !say("retry: %d\n\n", streamPause.Milliseconds()) {
		return
	}
	alive := time.NewTicker(streamAlive)
	defer alive.Stop()
	said := ""
	for {
		if version := e.watchers.now(); version != said && version != "" {
			said = version
			if !say("event: version\ndata: %s\n\n", version) {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-bell:
		case <-alive.C:
			if !say("event: alive\ndata:\n\n") {
				return
			}
		}
	}
}
