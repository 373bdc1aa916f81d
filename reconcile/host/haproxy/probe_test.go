package haproxy

import (
	"context"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// listener opens a socket that runs serve for each connection.
func listener(t *testing.T, path string, serve func(net.Conn)) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			go serve(conn)
		}
	}()
}

func answers(conn net.Conn) {
	if _, err := conn.Read(make([]byte, 100)); err == nil {
		_, _ = conn.Write([]byte("HTTP/1.0 200 OK\r\n\r\n"))
	}
}

func silent(net.Conn) {}

func cuts(conn net.Conn) { conn.Close() }

// idleTime is how long the test's check for an idle HAProxy takes.
const idleTime = 100 * time.Millisecond

func idle() bool { return true }

func TestProbe(t *testing.T) {
	for name, c := range map[string]struct {
		health, stats func(net.Conn) // nil: nothing listens
		want          host.HAProxyState
		least         time.Duration
		busy          bool
	}{
		"serves":               {answers, answers, host.HAProxyAnswers, 0, false},
		"works":                {silent, silent, busy, healthPatience + statsPatience, true},
		"works, cuts":          {cuts, cuts, busy, 0, true},
		"just not hung":        {slowly(healthPatience + statsPatience + idleTime/2), silent, host.HAProxyAnswers, healthPatience + statsPatience, false},
		"full":                 {silent, answers, host.HAProxyFull, healthPatience, false},
		"hangs":                {silent, silent, host.HAProxyHung, healthPatience + statsPatience, false},
		"cuts, full":           {cuts, answers, host.HAProxyFull, 0, false},
		"cuts":                 {cuts, cuts, host.HAProxyHung, 0, false},
		"late":                 {slowly(healthPatience + 50*time.Millisecond), silent, host.HAProxyAnswers, healthPatience, false},
		"no stats socket":      {silent, nil, host.HAProxyHung, healthPatience, false},
		"no health frontend":   {nil, answers, host.HAProxyUnknown, 0, false},
		"nothing of HAProxy's": {nil, nil, host.HAProxyUnknown, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			health, stats := filepath.Join(t.TempDir(), "h"), filepath.Join(t.TempDir(), "s")
			for path, serve := range map[string]func(net.Conn){health: c.health, stats: c.stats} {
				if serve != nil {
					listener(t, path, serve)
				}
			}
			begin := time.Now()
			got := probe(t.Context(), health, stats, func() bool { time.Sleep(idleTime); return !c.busy })
			if took := time.Since(begin); got != c.want || took < c.least {
				t.Errorf("%s after %v, want %s, not before %v", got, took, c.want, c.least)
			}
		})
	}
}

func slowly(d time.Duration) func(net.Conn) {
	return func(conn net.Conn) { time.Sleep(d); answers(conn) }
}

// TestProbeBacklog: HAProxy is hung if it no longer accepts and its backlog is full, so that the kernel refuses
// connections.
func TestProbeBacklog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := probe(t.Context(), path, path, idle); got != host.HAProxyHung {
			t.Errorf("got %s", got)
		}
	}
}

// TestProbeEnds: if the context ends, the probe returns at once, and the state is unknown.
func TestProbeEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h")
	listener(t, path, silent)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if got := probe(ctx, path, path, idle); got != host.HAProxyUnknown {
		t.Errorf("got %s", got)
	}
}
