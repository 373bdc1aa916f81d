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

// listener is a socket that does something with each connection.
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

func TestProbe(t *testing.T) {
	for name, c := range map[string]struct {
		health, stats func(net.Conn) // nil: nobody listens
		want          host.HAProxyState
		least         time.Duration
	}{
		"serves":               {answers, answers, host.HAProxyAnswers, 0},
		"full":                 {silent, answers, host.HAProxyFull, healthPatience},
		"hangs":                {silent, silent, host.HAProxyHung, healthPatience + statsPatience},
		"cuts, full":           {cuts, answers, host.HAProxyFull, 0},
		"cuts":                 {cuts, cuts, host.HAProxyHung, 0},
		"late":                 {slowly(healthPatience + 50*time.Millisecond), silent, host.HAProxyAnswers, healthPatience},
		"no stats socket":      {silent, nil, host.HAProxyHung, healthPatience},
		"no health frontend":   {nil, answers, host.HAProxyUnknown, 0},
		"nothing of HAProxy's": {nil, nil, host.HAProxyUnknown, 0},
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
			got := probe(t.Context(), health, stats)
			if took := time.Since(begin); got != c.want || took < c.least {
				t.Errorf("%s after %v, want %s, not before %v", got, took, c.want, c.least)
			}
		})
	}
}

func slowly(d time.Duration) func(net.Conn) {
	return func(conn net.Conn) { time.Sleep(d); answers(conn) }
}

// TestProbeBacklog: a process that accepts no more fills its backlog, and the kernel refuses to wait.
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
		if got := probe(t.Context(), path, path); got != host.HAProxyHung {
			t.Errorf("got %s", got)
		}
	}
}

// TestProbeEnds: an agent that is stopped does not wait, and knows nothing.
func TestProbeEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h")
	listener(t, path, silent)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if got := probe(ctx, path, path); got != host.HAProxyUnknown {
		t.Errorf("got %s", got)
	}
}
