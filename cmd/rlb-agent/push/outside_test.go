package push

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// taker accepts connections on loopback and calls do for each.
func taker(t *testing.T, do func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, conn)
			do(conn)
		}
	}()
	t.Cleanup(func() {
		l.Close() //nolint:errcheck // the test is over
		<-ended
		for _, conn := range conns {
			conn.Close() //nolint:errcheck // some are closed
		}
	})
	return l.Addr().String()
}

// silent returns an address where no connection is accepted: the socket's queue is full, so further
// connections get no answer.
func silent(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		t.Cleanup(func() { syscall.Close(fd) }) //nolint:errcheck // the test is over
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	if err == nil {
		err = syscall.Listen(fd, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	target := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 10 {
		conn, err := net.DialTimeout("tcp", target, 300*time.Millisecond)
		if err != nil {
			return target
		}
		t.Cleanup(func() { conn.Close() }) //nolint:errcheck // the test is over
	}
	t.Fatal("the socket takes any number of connections")
	return ""
}

// TestNetwork: the network of this machine, with real sockets.
func TestNetwork(t *testing.T) {
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	gone := taker(t, func(net.Conn) {})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := l.Addr().String()
	l.Close() //nolint:errcheck // so that nobody listens there
	for _, tt := range []struct {
		name, target string
		answers      bool
		within       time.Duration
	}{
		{"takes it and waits for the client", gone, true, time.Second},
		{"speaks TLS", secure.Listener.Addr().String(), true, time.Second},
		{"speaks first", taker(t, func(c net.Conn) { fmt.Fprintln(c, "220 hello") }), true, closeTime},
		{"closes at once, as HAProxy without a server", taker(t, func(c net.Conn) { c.Close() }), false, closeTime},   //nolint:errcheck // whatever it says
		{"resets at once", taker(t, func(c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() }), false, closeTime}, //nolint:errcheck // whatever it says
		{"refuses", refused, false, time.Second},
		{"is silent", silent(t), false, dialTime + time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			began := time.Now()
			if got := (Network{}).Answers(t.Context(), tt.target); got != tt.answers {
				t.Errorf("answers: %v, want %v", got, tt.answers)
			}
			if took := time.Since(began); took > tt.within {
				t.Errorf("it took %v, more than %v", took, tt.within)
			}
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		began := time.Now()
		if (Network{}).Answers(ctx, silent(t)) || time.Since(began) > dialTime {
			t.Errorf("it ended after %v", time.Since(began))
		}
	})
	if conn, err := tls.Dial("tcp", secure.Listener.Addr().String(), secure.Client().Transport.(*http.Transport).TLSClientConfig); err != nil { // a client is still served
		t.Error(err)
	} else {
		conn.Close() //nolint:errcheck // nothing was written
	}
}

// TestFromHere: a load balancer does not test the virtual IPs itself; nor does a machine that may be one.
func TestFromHere(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "memory")
	if FromHere(file) != (Network{}) {
		t.Error("a machine that is no load balancer is taken for one")
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if FromHere(file) != nil {
		t.Error("a load balancer looks at the virtual IPs itself")
	}
	if FromHere(filepath.Join(file, "below")) != nil { // an error other than "not exist"
		t.Error("a machine of which nothing is known looks at the virtual IPs")
	}
}

func TestSome(t *testing.T) {
	all := strings.Fields("a b c d e")
	if one, most := some(all[:1]), some(all); one != "a" || some(all[:3]) != "a, b, c" || most != "a, b, c and 2 more" {
		t.Errorf("%q, %q", one, most)
	}
}

func TestSource(t *testing.T) {
	if got := (Network{}).Source("127.0.0.1:9"); got.String() != "127.0.0.1" {
		t.Errorf("this machine connects to itself from %v", got)
	}
}
