package export

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/cmd/rlb-agent/page"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
)

const askStream = "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n"

// watched is a host whose page is served in memory.
func watched(t *testing.T) (*shown, *pipes) {
	s := newShown(t)
	s.run("")
	l := &pipes{made: make(chan net.Conn), closed: make(chan struct{})}
	server := newServer(slog.New(slog.DiscardHandler), s.webPages, nil, s.stream)
	done := make(chan error)
	go func() { done <- server.Serve(&conns{Listener: l, most: maxConns}) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return s, l
}

// listenTo reads a stream and passes on its lines.
func listenTo(t *testing.T, l *pipes, ask string) (client net.Conn, lines chan string) {
	client, lines = l.dial(), make(chan string, 1000)
	go func() {
		defer close(lines)
		_, _ = io.WriteString(client, ask)
		reader := bufio.NewReader(client)
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return
		}
		lines <- response.Status
		for scan := bufio.NewScanner(response.Body); scan.Scan(); {
			if line := scan.Text(); line != "" {
				lines <- line
			}
		}
	}()
	return client, lines
}

// TestStream: a stream sends the version of the page, and a new one as soon as the host changes. It outlives the
// timeouts of other answers. After the last stream the host is not looked at any more.
func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := watched(t)
		s.story.read(s.Story, func() {}, storyWait)
		client, lines := listenTo(t, l, askStream)
		if first := []string{<-lines, <-lines, <-lines}; fmt.Sprint(first) != "[200 OK retry: 2000 event: version]" {
			t.Errorf("%q", first)
		}
		version := <-lines
		if _, want := page.HTML(s.view(t.Context()), time.Now()); version != "data: "+want {
			t.Errorf("%s, want %s", version, want)
		}
		synctest.Wait()
		time.Sleep(3 * answerTime) // the page stays the same: only keep-alive events
		synctest.Wait()
		for range len(lines) {
			if line := <-lines; line != "event: alive" && line != "data:" {
				t.Errorf("%q", line)
			}
		}
		began := time.Now()
		s.host.Role = host.RoleFault
		guard := state.GuardRecord{Fault: true, Reason: "HAProxy hangs", HAProxy: host.HAProxyHung}
		if err := guard.Write(t.Context(), s.host); err != nil {
			t.Fatal(err)
		}
		s.followRecords(t.Context())
		if line := <-lines; line != "event: version" || time.Since(began) > 100*time.Millisecond {
			t.Errorf("%q after %v", line, time.Since(began))
		}
		_ = client.Close()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		s.host.FailMethod("Servers", errors.New("nobody watches"))
		if n := len(s.watchers.all); n > 0 || s.watchers.now() != "" {
			t.Errorf("%d streams are left, version %q", n, s.watchers.now())
		}
	})
}

// TestStreamsEnd: a stream whose client does not read is closed, and a long one ends; the browser opens the next one.
func TestStreamsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := watched(t)
		deaf := l.dial()
		_, _ = io.WriteString(deaf, askStream)
		time.Sleep(streamTime + time.Second)
		synctest.Wait()
		if n := len(s.watchers.all); n > 0 {
			t.Errorf("%d streams that nobody reads", n)
		}
		began := time.Now()
		_, lines := listenTo(t, l, askStream)
		for range lines {
		}
		if took := time.Since(began); took.Round(time.Second) != streamLife {
			t.Errorf("ended after %v", took)
		}
		synctest.Wait()
	})
}

// TestStreamsAreBounded: the number of streams is limited. A further client is refused a stream but gets the page. So
// do other clients while all streams are held open by clients that do not read or send nothing.
func TestStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := watched(t)
		for range maxStreams {
			listenTo(t, l, askStream)
		}
		synctest.Wait()
		if _, lines := listenTo(t, l, askStream); <-lines != "503 Service Unavailable" {
			t.Error("one stream too many")
		}
		if _, lines := listenTo(t, l, strings.Replace(askStream, "\r\n\r\n", "\r\nSec-Fetch-Site: cross-site\r\n\r\n", 1)); <-lines != "403 Forbidden" {
			t.Error("a web site can open a stream")
		}
		for range 2 * maxConns {
			l.dial()
		}
		if _, lines := listenTo(t, l, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); <-lines != "200 OK" {
			t.Error("no page")
		}
		synctest.Wait()
		if n := len(s.watchers.all); n != maxStreams {
			t.Errorf("%d streams are left after the attack", n)
		}
	})
}

// TestStalledStreamsOverTCP: the same over TCP, where the kernel buffers data: a client that does not read loses its
// stream all the same.
func TestStalledStreamsOverTCP(t *testing.T) {
	s := newShown(t)
	s.run("")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(slog.New(slog.DiscardHandler), s.webPages, nil, s.stream)
	done := make(chan error)
	go func() { done <- server.Serve(&conns{Listener: l, most: maxConns}) }()
	for range 2 * maxStreams {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, askStream)
	}
	began := time.Now()
	if response, body := say(t, l.Addr(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); response.StatusCode != 200 || !strings.Contains(body, "198.51.100.10") || time.Since(began) > 2*time.Second {
		t.Errorf("%d after %v", response.StatusCode, time.Since(began))
	}
	_ = server.Close() // as when the spec closes the address
	<-done
	for waited := time.Now(); ; time.Sleep(time.Millisecond) {
		s.watchers.mutex.Lock()
		n := len(s.watchers.all)
		s.watchers.mutex.Unlock()
		if n == 0 {
			break
		}
		if time.Since(waited) > 5*time.Second {
			t.Fatalf("%d streams are left", n)
		}
	}
}

// TestStory: the journal is read by one command at a time, rarely if a reading takes long, and a page does not wait
// for it.
func TestStory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most, all atomic.Int32
		read := func(_ context.Context, since time.Time, entries int) ([]host.JournalEntry, error) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer now.Add(-1)
			all.Add(1)
			time.Sleep(2 * time.Second)
			if entries != storyEntries || time.Since(since) > storySince+time.Minute {
				t.Errorf("read %d entries since %v", entries, since)
			}
			return []host.JournalEntry{{Time: time.Now(), Unit: host.KeepalivedUnit, Message: "(HA) Entering MASTER STATE"}}, nil
		}
		var s story
		began := time.Now()
		s.read(read, func() {}, storyWait)
		if took := time.Since(began); took != storyWait {
			t.Errorf("a page waited for %v", took)
		}
		if events, why := s.get(); len(events) > 0 || !strings.Contains(why, "is being read") {
			t.Errorf("%v, %q", events, why)
		}
		for range 600 { // a page open for a minute, with constant news
			s.happened()
			s.read(read, func() {}, 0)
			time.Sleep(100 * time.Millisecond)
		}
		if events, why := s.get(); len(events) != 1 || why != "" {
			t.Errorf("%v, %q", events, why)
		}
		if most.Load() != 1 || all.Load() > 3 {
			t.Errorf("%d readings in a minute, %d at a time", all.Load(), most.Load())
		}
		time.Sleep(time.Minute)
		s.read(func(context.Context, time.Time, int) ([]host.JournalEntry, error) {
			return nil, errors.New("no journal")
		}, func() {}, 0)
		synctest.Wait()
		if _, why := s.get(); why != "no journal" {
			t.Errorf("%q", why)
		}
	})
}

// TestWaitingSpecs: a spec that waits is compared with the one in force if everyone may read the file.
func TestWaitingSpecs(t *testing.T) {
	s := newShown(t)
	s.run("")
	waits, err := api.Parse("spec.yaml", []byte(strings.Replace(shownSpec, "9000", "9001", 1)))
	if err != nil {
		t.Fatal(err)
	}
	s.ReadSpec = func() (*api.Document, error) { return waits, nil }
	pending := status.Status{ObservedGeneration: 1, PendingSpec: &status.PendingSpec{Refused: true}}
	s.host.Put(s.Spec, string(waits.Data), 0o600)
	all := s.changes.of(t.Context(), s.Config, pending)
	if len(all) != 1 || all[0].Diff != "" || !strings.Contains(all[0].Note, "Not everybody may read") {
		t.Errorf("of a secret file: %+v", all)
	}
	s.host.Put(s.Spec, string(waits.Data), 0o644)
	pending.ObservedGeneration++ // otherwise the result is cached
	all = s.changes.of(t.Context(), s.Config, pending)
	if len(all) != 1 || !strings.Contains(all[0].Diff, "-  port: 9000\n+  port: 9001\n") {
		t.Errorf("%+v", all)
	}
	s.ReadSpec = func() (*api.Document, error) { t.Error("compared twice"); return nil, nil }
	if again := s.changes.of(t.Context(), s.Config, pending); len(again) != 1 || again[0] != all[0] {
		t.Errorf("%+v", again)
	}
	if none := s.changes.of(t.Context(), s.Config, status.Status{}); none != nil {
		t.Errorf("%+v", none)
	}
}

// TestOneProducer: a stream that opens while the goroutine of the last one still looks at the host is served by that
// goroutine, not by one more.
func TestOneProducer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchers{all: map[chan struct{}]bool{}, bell: make(chan struct{}, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var looks atomic.Int32
		look := func(context.Context) string {
			looks.Add(1)
			time.Sleep(100 * time.Millisecond) // a busy machine
			return "1"
		}
		var bell chan struct{}
		for range 5 { // somebody reloads the page again and again
			if bell != nil {
				w.leave(bell)
			}
			bell, _ = w.join(ctx, look)
			synctest.Wait()
		}
		time.Sleep(time.Second)
		looks.Store(0)
		time.Sleep(10 * streamLook)
		if n := looks.Load(); n > 11 {
			t.Errorf("%d looks at the host in 10 s for one stream", n)
		}
		w.leave(bell)
		time.Sleep(2 * time.Second)
		looks.Store(0)
		bell, _ = w.join(ctx, look) // and it begins again
		time.Sleep(streamLook / 2)
		if looks.Load() == 0 {
			t.Error("nobody looks at the host for a new stream")
		}
		w.leave(bell)
		time.Sleep(2 * time.Second)
	})
}
