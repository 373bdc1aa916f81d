package lab

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	controlPlanePort = 6443
	// NamePort is where a control plane sends its name on every connection, at once and without TLS, and closes: the
	// cheapest test of a connection from end to end.
	NamePort = 6480
	// HangPath answers with the server's name, and then keeps the connection open and idle.
	HangPath = "/hang-open"
	// ListPath answers for the duration of its query d. Only control planes that are processes have it
	// (hack/lab/apiserver).
	ListPath = "/list"
)

// A ControlPlane replaces the API server of a control plane: over TLS it answers /readyz with 200 and every other path
// with its name. It runs in this process; only its socket is in a namespace of its own.
type ControlPlane struct {
	*port
	addr   netip.AddrPort
	config *tls.Config
	others map[Mode]*tls.Config // with certificates other than CertPEM
	pem    []byte
	ready  atomic.Int64
	other  atomic.Int64

	mu        sync.Mutex
	mode      Mode
	resumed   chan struct{}  // closed while the mode is not Hang; nothing is read or written before
	listeners []net.Listener // none while refusing
	conns     map[*heldConn]bool
}

// Requests counts the requests to a control plane.
type Requests struct {
	Readyz int64 // to /readyz
	Other  int64 // to any other path
}

// AddControlPlane adds a control plane that listens on port 6443 of addr.
func (l *Lab) AddControlPlane(ctx context.Context, name string, addr netip.Prefix) (*ControlPlane, error) {
	p, err := l.addStation(ctx, name, addr)
	if err != nil {
		return nil, err
	}
	c := &ControlPlane{port: p, addr: netip.AddrPortFrom(addr.Addr(), controlPlanePort), resumed: make(chan struct{}), conns: map[*heldConn]bool{}, others: map[Mode]*tls.Config{}}
	close(c.resumed)
	c.config, c.pem, err = SelfSigned(name, addr.Addr())
	for mode, left := range map[Mode]time.Duration{Stranger: 365 * 24 * time.Hour, Expired: -time.Hour, Expiring: 20 * 24 * time.Hour} {
		if err == nil {
			c.others[mode], _, err = selfSigned(name, addr.Addr(), time.Now().Add(left))
		}
	}
	if err == nil {
		err = c.Set(OK)
	}
	if err == nil {
		err = l.adopt(c.close)
	}
	if err != nil {
		p.unplug()
		return nil, fmt.Errorf("cannot add control plane %s: %w", name, err)
	}
	return c, nil
}

// Name returns the control plane's name, its answer to requests.
func (c *ControlPlane) Name() string { return c.name }

// Addr returns the address where it listens.
func (c *ControlPlane) Addr() netip.AddrPort { return c.addr }

// CertPEM returns its self-signed certificate.
func (c *ControlPlane) CertPEM() []byte { return c.pem }

// Mode returns its present mode.
func (c *ControlPlane) Mode() Mode {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mode
}

// Requests returns the number of requests so far.
func (c *ControlPlane) Requests() Requests {
	return Requests{Readyz: c.ready.Load(), Other: c.other.Load()}
}

// Set changes the mode at once, for open connections too.
func (c *ControlPlane) Set(mode Mode) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mode == Hang && mode != Hang {
		close(c.resumed)
	}
	if c.mode != Hang && mode == Hang {
		c.resumed = make(chan struct{})
	}
	c.mode = mode
	if mode == Refuse {
		c.refuse()
		return nil
	}
	return c.listen()
}

// listen opens the listeners that are closed.
func (c *ControlPlane) listen() error {
	if len(c.listeners) > 0 {
		return nil
	}
	ns := c.ns.Load()
	if ns == nil {
		return errClosed
	}
	server := &http.Server{Handler: c, ErrorLog: log.New(io.Discard, "", 0)}
	for port, serve := range map[uint16]func(net.Listener){
		controlPlanePort: func(l net.Listener) { _ = server.Serve(&tlsListener{l, c}) },
		NamePort:         c.tellName,
	} {
		at := netip.AddrPortFrom(c.addr.Addr(), port)
		l, err := ns.listen(at)
		if err != nil {
			c.refuse()
			return fmt.Errorf("cannot listen on %s: %w", at, err)
		}
		c.listeners = append(c.listeners, l)
		go serve(&heldListener{Listener: l, cp: c})
	}
	return nil
}

// tellName serves NamePort.
func (c *ControlPlane) tellName(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			fmt.Fprintln(conn, c.name)
			_ = conn.Close()
		}()
	}
}

// refuse closes the listeners and resets the open connections.
func (c *ControlPlane) refuse() {
	for _, l := range c.listeners {
		_ = l.Close()
	}
	c.listeners = nil
	for conn := range c.conns {
		reset(conn.Conn)
	}
}

func reset(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

func (c *ControlPlane) close() {
	_ = c.Set(Refuse)
	c.unplug()
}

// ServeHTTP answers according to the mode.
func (c *ControlPlane) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mode := c.Mode()
	code := http.StatusOK
	if r.URL.Path == "/readyz" {
		c.ready.Add(1)
		if mode.code != 0 {
			code = mode.code
		}
	} else {
		c.other.Add(1)
	}
	if mode.delay > 0 {
		select {
		case <-time.After(mode.delay):
		case <-r.Context().Done():
		}
	}
	w.WriteHeader(code)
	fmt.Fprintln(w, c.name)
	if r.URL.Path == HangPath {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}
