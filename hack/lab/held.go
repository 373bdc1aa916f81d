package lab

import (
	"cmp"
	"crypto/tls"
	"net"
	"slices"
	"sync"
)

// A tlsListener speaks TLS on the connections that it accepts, according to the control plane's
// mode.
type tlsListener struct {
	net.Listener
	cp *ControlPlane
}

// Accept waits for the next connection.
func (l *tlsListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	mode := l.cp.Mode()
	if mode == Plain {
		return conn, nil
	}
	return tls.Server(conn, cmp.Or(l.cp.others[mode], l.cp.config)), nil
}

// A heldListener accepts connections whose data stops while their control plane hangs.
type heldListener struct {
	net.Listener
	cp *ControlPlane
}

// Accept waits for the next connection.
func (l *heldListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	held := &heldConn{Conn: conn, cp: l.cp, closed: make(chan struct{})}
	l.cp.mu.Lock()
	defer l.cp.mu.Unlock()
	l.cp.conns[held] = true
	if !slices.Contains(l.cp.listeners, l.Listener) {
		reset(conn) // it arrived before the listener was closed
	}
	return held, nil
}

type heldConn struct {
	net.Conn
	cp     *ControlPlane
	once   sync.Once
	closed chan struct{}
}

// hold waits while the control plane hangs.
func (c *heldConn) hold() error {
	c.cp.mu.Lock()
	resumed := c.cp.resumed
	c.cp.mu.Unlock()
	select {
	case <-resumed:
		return nil
	case <-c.closed:
		return net.ErrClosed
	}
}

// Read returns received data only while the control plane does not hang.
func (c *heldConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if herr := c.hold(); herr != nil {
		return 0, herr
	}
	return n, err
}

// Write waits while the control plane hangs.
func (c *heldConn) Write(b []byte) (int, error) {
	if err := c.hold(); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// Close ends the connection, even one that is held.
func (c *heldConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	c.cp.mu.Lock()
	delete(c.cp.conns, c)
	c.cp.mu.Unlock()
	return c.Conn.Close()
}
