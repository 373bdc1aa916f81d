package export

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"
)

// listener serves pages at one address, or is to serve them.
type listener struct {
	address    string
	at         net.Listener  // nil before it has listened
	server     *http.Server  // nil while it does not listen
	ended      chan struct{} // closed when the server has ended
	lastLogged string        // why it does not listen
}

// relisten is the pause before the next attempt to listen at an address: at boot the address may not exist yet.
const relisten = 5 * time.Second

// listen opens and closes addresses to match the spec in force. It returns the time until the next attempt, or 0.
func (e *Exporter) listen() (again time.Duration) {
	doc := e.current.spec()
	if doc == nil {
		return 0
	}
	for _, want := range []struct {
		field, address string
		show           pages
	}{
		{"metrics.address", doc.Spec.Metrics.Address, e.metricsPages},
		{"web.address", doc.Spec.Web.Address, e.webPages},
	} {
		have := e.listeners[want.field]
		if have != nil && have.address != want.address {
			have.close()
			delete(e.listeners, want.field)
			have = nil
		}
		if have.serving() {
			if s, unix := have.at.(socket); unix && s.gone() {
				have.close()
			}
		}
		if want.address == "" || have.serving() {
			continue
		}
		if have == nil {
			have = &listener{address: want.address}
			e.listeners[want.field] = have
		}
		if err := e.open(have, want.show); err != nil {
			if text := err.Error(); text != have.lastLogged {
				e.Log.Warn(want.field + ": nothing is served there yet: " + text)
				have.lastLogged = text
			}
			again = relisten
			continue
		}
		if want.field == "web.address" {
			own, _ := os.Hostname()
			e.Log.Info("serving the status page: "+howToOpen(want.address, own), "address", want.address)
			continue
		}
		e.Log.Info("serving "+want.field, "address", want.address)
	}
	return again
}

// tunnelPort is the local port of the ssh tunnel to a page.
const tunnelPort = "8345"

// howToOpen describes how to open the page on the host and from elsewhere.
func howToOpen(address, own string) string {
	if path, unix := socketPath(address); unix {
		return fmt.Sprintf("ssh -L %s:%s %s, then http://127.0.0.1:%s/", tunnelPort, path, own, tunnelPort)
	}
	_, port, _ := net.SplitHostPort(address)
	return fmt.Sprintf("http://%s/; from elsewhere: ssh -L %s:%s %s, then http://127.0.0.1:%s/", address, port, address, own, port)
}

// open begins to serve pages at an address.
func (e *Exporter) open(l *listener, show pages) error {
	at, err := e.listenAt(l.address)
	if err != nil {
		return err
	}
	known := e.known
	if _, unix := at.(socket); unix {
		known = nil // a browser cannot reach a socket
	}
	server, ended := newServer(e.Log, show, known, e.stream), make(chan struct{})
	l.at, l.server, l.ended, l.lastLogged = at, server, ended, ""
	go func() {
		if err := server.Serve(&conns{Listener: at, most: maxConns}); !errors.Is(err, http.ErrServerClosed) {
			e.Log.Warn("cannot serve at "+l.address, "err", err)
		}
		close(ended)
		e.poke()
	}()
	return nil
}

func (l *listener) serving() bool {
	if l == nil || l.server == nil {
		return false
	}
	select {
	case <-l.ended:
		return false
	default:
		return true
	}
}

// close also ends the answers in progress.
func (l *listener) close() {
	if l.server != nil {
		_ = l.server.Close() // the listener's errors change nothing
		<-l.ended
	}
}

// socketPath returns the path of the socket if an address is "unix:/path".
func socketPath(address string) (path string, unix bool) { return strings.CutPrefix(address, "unix:") }

// listenAt listens on "ip:port" or "unix:/path".
func (e *Exporter) listenAt(address string) (net.Listener, error) {
	if path, unix := socketPath(address); unix {
		return e.listenUnix(path)
	}
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen: %w", err)
	}
	network := "tcp" // [::] accepts both families
	if addr.Addr().Is4() {
		network = "tcp4"
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), network, address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", address, errno(err))
	}
	return l, nil
}

// errno returns the system's error without the address, which Go repeats.
func errno(err error) error {
	if number := syscall.Errno(0); errors.As(err, &number) {
		return number
	}
	return err
}
