package failover

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
)

// talkEvery is how often a talker sends a request. It does not wait for the answers, like a client with several
// requests in one connection.
const talkEvery = 50 * time.Millisecond

// talker is a client with one connection that is never idle.
type talker struct {
	conn *tls.Conn
	done chan struct{} // closed when the connection is lost
	once sync.Once

	mutex    sync.Mutex
	at       time.Time // when it was lost
	err      error     // how it was lost
	answered time.Time // when the last answer arrived
	asked    int
	answers  int
}

// talk opens n connections to a target, and keeps them busy until the test ends.
func talk(w *e2e.World, target string, n int) (all []*talker) {
	w.Helper()
	for range n {
		conn, err := w.Client.Dial(w.Context(), target)
		if err != nil {
			w.Fatal(err)
		}
		// #nosec G402 -- a control plane of the lab
		t := &talker{conn: tls.Client(conn, &tls.Config{InsecureSkipVerify: true}), done: make(chan struct{})}
		if err := t.conn.HandshakeContext(w.Context()); err != nil {
			w.Fatal(err)
		}
		w.Cleanup(func() { _ = conn.Close() })
		go t.ask()
		go t.read()
		all = append(all, t)
	}
	return all
}

func (t *talker) ask() {
	for {
		if _, err := io.WriteString(t.conn, "GET / HTTP/1.1\r\nHost: lab\r\n\r\n"); err != nil {
			t.lost(fmt.Errorf("write: %w", err))
			return
		}
		t.mutex.Lock()
		t.asked++
		t.mutex.Unlock()
		time.Sleep(talkEvery)
	}
}

func (t *talker) read() {
	from := bufio.NewReader(t.conn)
	for {
		response, err := http.ReadResponse(from, nil)
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
		}
		if err != nil {
			t.lost(fmt.Errorf("read: %w", err))
			return
		}
		t.mutex.Lock()
		t.answers, t.answered = t.answers+1, time.Now()
		t.mutex.Unlock()
	}
}

func (t *talker) lost(err error) {
	t.once.Do(func() {
		t.mutex.Lock()
		t.at, t.err = time.Now(), err
		t.mutex.Unlock()
		close(t.done)
	})
}

// alive returns an error unless the connection is open and had an answer within the last half second.
func (t *talker) alive() error {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.err != nil {
		return t.err
	}
	if silent := time.Since(t.answered); silent > 500*time.Millisecond {
		return fmt.Errorf("no answer for %v, %d of %d asked", silent, t.answers, t.asked)
	}
	return nil
}

// allAlive fails the test for each connection that is lost or silent.
func allAlive(w *e2e.World, what string, talkers []*talker) {
	w.Helper()
	lost := 0
	var first error
	for _, t := range talkers {
		if err := t.alive(); err != nil {
			if lost++; first == nil {
				first = err
			}
		}
	}
	if lost > 0 {
		w.Errorf("%s: %d of %d established connections are lost: %v", what, lost, len(talkers), first)
	}
}

// told returns how long after since the first and the last of these connections were lost. A connection that stays open
// fails the test.
func told(w *e2e.World, what string, since time.Time, quiet []*lab.LongConn, talkers []*talker) (first, last time.Duration) {
	w.Helper()
	first = time.Hour
	limit := time.After(10 * time.Second)
	note := func(at time.Time) { first, last = min(first, at.Sub(since)), max(last, at.Sub(since)) }
	for _, t := range talkers {
		select {
		case <-t.done:
			note(t.at)
		case <-limit:
			w.Fatalf("%s: a busy client is not told", what)
		}
	}
	for _, q := range quiet {
		select {
		case <-q.Done():
			at, _, _ := q.Cut()
			note(at)
		case <-limit:
			w.Fatalf("%s: a quiet client is not told", what)
		}
	}
	return first, last
}
