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

// What those who watch the page may cost.
const (
	maxStreams  = 16               // at a time, at all addresses; further browsers load the page again every few seconds
	streamLook  = time.Second      // between two looks at the host, where nothing tells of a change
	streamAlive = 5 * time.Second  // between two words, so that a dead connection is seen
	streamTime  = 5 * time.Second  // for a word to go; a reader that takes longer is dropped
	streamLife  = 10 * time.Minute // of a stream; a browser opens the next one by itself
	streamPause = 2 * time.Second  // that it waits before that
	streamSend  = 4 << 10          // bytes that the system keeps for a reader, so that one that does not read is soon seen
)

// watchers are the open streams, and the one goroutine that looks at the host for all of them, as long as there are any.
type watchers struct {
	mutex   sync.Mutex
	all     map[chan struct{}]bool
	version string        // of the page
	bell    chan struct{} // the page may be another
}

// poke tells that the page may be another. It never waits.
func (w *watchers) poke() { wake.Up(w.bell) }

// join opens a stream, whose bell rings when the version is another. look makes the version until ctx ends.
func (w *watchers) join(ctx context.Context, look func(context.Context) string) (bell chan struct{}, ok bool) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if len(w.all) >= maxStreams {
		return nil, false
	}
	bell = make(chan struct{}, 1)
	w.all[bell] = true
	if len(w.all) == 1 {
		go w.produce(ctx, look)
	}
	return bell, true
}

func (w *watchers) leave(bell chan struct{}) {
	w.mutex.Lock()
	delete(w.all, bell)
	w.mutex.Unlock()
	w.poke() // the last one ends the goroutine
}

// produce makes versions until nobody watches.
func (w *watchers) produce(ctx context.Context, look func(context.Context) string) {
	timer := time.NewTicker(streamLook)
	defer timer.Stop()
	for {
		version := look(ctx)
		w.mutex.Lock()
		if len(w.all) == 0 || ctx.Err() != nil {
			w.version = ""
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

// look is the version of the page now.
func (e *Exporter) look(ctx context.Context) string {
	e.story.read(e.Story, e.watchers.poke, 0)
	_, version := page.HTML(e.view(ctx), time.Now())
	return version
}

// stream tells a client of each new version of the page, until it goes or does not read.
func (e *Exporter) stream(w http.ResponseWriter, r *http.Request) {
	// A web site cannot read this, but could keep streams open.
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		textAnswer(http.StatusForbidden, "this is for the page of this host").write(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), streamLife)
	defer cancel()
	// The goroutine that looks is for all streams, and outlives this one.
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
	_ = control.SetReadDeadline(time.Time{}) // the request is here; nothing more is awaited
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
