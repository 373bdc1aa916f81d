package export

import (
	"net"
	"slices"
	"sync"
)

// conns is a listener that keeps at most "most" connections open. A new connection replaces the oldest one without a
// whole request, else the oldest of all. So clients that connect and send nothing replace each other, not a client that
// sends its request at once. If each connection kept its place until its timeout, they would keep such a client out.
type conns struct {
	net.Listener
	most int

	mutex sync.Mutex
	open  []*conn // oldest first
}

// conn is a connection of a conns.
type conn struct {
	net.Conn
	all  *conns
	busy bool // a whole request has arrived
}

func (c *conns) Accept() (net.Conn, error) {
	accepted, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	one := &conn{Conn: accepted, all: c}
	if loser := c.add(one); loser != nil {
		_ = loser.Close()
	}
	return one, nil
}

// add adds a connection and returns the one that it replaces, or nil.
func (c *conns) add(one *conn) (loser *conn) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.open = append(c.open, one)
	if len(c.open) <= c.most {
		return nil
	}
	return c.open[max(slices.IndexFunc(c.open[:c.most], func(o *conn) bool { return !o.busy }), 0)]
}

// asked records that a whole request has arrived.
func (c *conn) asked() {
	c.all.mutex.Lock()
	defer c.all.mutex.Unlock()
	c.busy = true
}

// keepLittle limits the kernel's send buffer to most bytes, so that a reader that does not read is noticed soon.
func (c *conn) keepLittle(most int) {
	if sends, ok := c.Conn.(interface{ SetWriteBuffer(bytes int) error }); ok {
		_ = sends.SetWriteBuffer(most) // if it fails, the reader is noticed later
	}
}

func (c *conn) Close() error {
	c.all.mutex.Lock()
	c.all.open = slices.DeleteFunc(c.all.open, func(o *conn) bool { return o == c })
	c.all.mutex.Unlock()
	return c.Conn.Close()
}

// CloseWrite ends the answer: the client reads all of it before the connection is closed (net/http calls it).
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
