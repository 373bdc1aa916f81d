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
	// hangPath answers with the server's name and then keeps the connection open and quiet.
	hangPath = "/hang-open"
)

// A ControlPlane stands for the API server of a control plane: over TLS it answers /readyz with 200 and every other
// path with its name. It runs in this process; only its socket is in a namespace of its own.
type ControlPlane struct {
	*port
	addr   netip.AddrPort
	config *tls.Config
	pem    []byte
	ready  atomic.Int64
	other  atomic.Int64

	mu       sync.Mutex
	mode     Mode
	resumed  chan struct{} // closed when the mode is not Hang; nothing is read or written before
	listener net.Listener  // nil while refusing
	conns    map[*heldConn]bool
}

// Requests counts the requests that a control plane has got.
type Requests struct {
	Readyz int64 // to /readyz
	Other  int64 // to any other path
}

// AddControlPlane makes a control plane that listens on port 6443 of addr.
func (l *Lab) AddControlPlane(ctx context.Context, name string, addr netip.Prefix) (*ControlPlane, error) {
	p, err := l.addStation(ctx, name, addr)
	if err != nil {
		return nil, err
	}
	c := &ControlPlane{port: p, addr: netip.AddrPortFrom(addr.Addr(), controlPlanePort), resumed: make(chan struct{}), conns: map[*heldConn]bool{}}
	close(c.resumed)
	if c.config, c.pem, err = selfSigned(name, addr.Addr()); err == nil {
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

// Name is the control plane's name, with which it answers.
func (c *ControlPlane) Name() string { return c.name }

// Addr is where it listens.
func (c *ControlPlane) Addr() netip.AddrPort { return c.addr }

// CertPEM is its self-signed certificate.
func (c *ControlPlane) CertPEM() []byte { return c.pem }

// Mode is how it behaves now.
func (c *ControlPlane) Mode() Mode {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mode
}

// Requests tells what has been asked so far.
func (c *ControlPlane) Requests() Requests {
	return Requests{Readyz: c.ready.Load(), Other: c.other.Load()}
}

// Set changes how it behaves, at once and on open connections too.
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
	switch {
	case mode == Refuse:
		c.refuse()
	case c.listener == nil:
		ns := c.ns.Load()
		if ns == nil {
			return errClosed
		}
		l, err := ns.listen(c.addr)
		if err != nil {
			return fmt.Errorf("cannot listen on %s: %w", c.addr, err)
		}
		c.listener = l
		server := &http.Server{Handler: c, ErrorLog: log.New(io.Discard, "", 0)}
		go func() { _ = server.Serve(tls.NewListener(&heldListener{Listener: l, cp: c}, c.config)) }()
	}
	return nil
}

// refuse closes the listener and resets what is open.
func (c *ControlPlane) refuse() {
	if c.listener != nil {
		_ = c.listener.Close()
		c.listener = nil
	}
	for conn := range c.conns {
		_ = conn.Conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Conn.Close()
	}
}

func (c *ControlPlane) close() {
	_ = c.Set(Refuse)
	c.unplug()
}

// ServeHTTP answers as the mode says.
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
	if r.URL.Path == hangPath {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}
