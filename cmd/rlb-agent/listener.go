package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"rlb.dev/rlb-agent/cmd/rlb-agent/httpd"
)

// listener is one address at which pages are shown, or are to be.
type listener struct {
	address string
	open    net.Listener // nil where it could not be opened
	told    string       // why not, said once
}

// relisten is how long to wait before an address is tried again that could not be had: it may not be there yet at boot.
const relisten = 5 * time.Second

// serve opens and closes addresses until they are those of the spec in force. It says when to try again, or 0.
func (e *endpoints) serve(ctx context.Context) (again time.Duration) {
	e.mutex.Lock()
	doc := e.doc
	e.mutex.Unlock()
	if doc == nil {
		return 0
	}
	for _, want := range []struct {
		field, address string
		server         *httpd.Server
	}{
		{"metrics.address", doc.Spec.Metrics.Address, &httpd.Server{Page: func(path string) (httpd.Page, bool) { return e.metricsPage(ctx, path) }}},
		{"web.address", doc.Spec.Web.Address, &httpd.Server{Page: func(path string) (httpd.Page, bool) { return e.webPage(ctx, path) },
			Local: !strings.HasPrefix(doc.Spec.Web.Address, "unix:")}},
	} {
		have := e.listeners[want.field]
		if have != nil && have.address != want.address {
			have.close()
			delete(e.listeners, want.field)
			have = nil
		}
		if want.address == "" || have != nil && have.open != nil {
			continue
		}
		if have == nil {
			have = &listener{address: want.address}
			e.listeners[want.field] = have
		}
		l, err := listenAt(want.address)
		if err != nil {
			if text := err.Error(); text != have.told {
				e.log.Warn(want.field + ": nothing is served there yet: " + text)
				have.told = text
			}
			again = relisten
			continue
		}
		have.open, have.told = l, ""
		e.log.Info("serving "+want.field, "address", want.address)
		go func() { _ = want.server.Serve(l) }() // until it is closed
	}
	return again
}

// close ends all that is shown: what is left would be read as true long after.
func (e *endpoints) close() {
	for _, l := range e.listeners {
		l.close()
	}
	e.textfile.remove()
}

func (l *listener) close() {
	if l.open != nil {
		_ = l.open.Close() // a unix socket goes with it
	}
}

// listenAt listens on "ip:port" or "unix:/path".
func listenAt(address string) (net.Listener, error) {
	if path, unix := strings.CutPrefix(address, "unix:"); unix {
		return listenUnix(path)
	}
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen: %w", err)
	}
	network := "tcp" // [::] is both families
	if addr.Addr().Is4() {
		network = "tcp4"
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", address, errno(err))
	}
	return l, nil
}

// listenUnix listens on a socket that everybody on this host may read, as with a loopback address. A socket that a
// killed agent left is taken over.
func listenUnix(path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket != 0 {
		conn, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			_ = conn.Close()
			return nil, fmt.Errorf("cannot listen on %s: another program does", path)
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			_ = os.Remove(path) // else the next line says what is wrong
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, errno(err))
	}
	if err := os.Chmod(path, 0o666); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	return l, nil
}

// errno is the system's word alone, without the address that Go repeats.
func errno(err error) error {
	if number := syscall.Errno(0); errors.As(err, &number) {
		return number
	}
	return err
}
