package export

import (
	"net"
	"slices"
	"sync"
)

// conns is a listener that keeps at most so many connections open. One more takes the place of the one that has been
// open longest without a whole request, else of the one that has been open longest. So clients that connect and say
// nothing push each other out, and not a client that asks at once, as they would if each held a place until its time is over.
type conns struct {
	net.Listener
	most int

	mutex sync.Mutex
	open  []*conn // oldest first
}

// conn is a connection that counts.
type conn struct {
	net.Conn
	all  *conns
	busy bool // a whole request came
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

// add counts a connection, and returns the one whose place it takes, or nil.
func (c *conns) add(one *conn) (loser *conn) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.open = append(c.open, one)
	if len(c.open) <= c.most {
		return nil
	}
	return c.open[max(slices.IndexFunc(c.open[:c.most], func(o *conn) bool { return !o.busy }), 0)]
}

// asked says that a whole request came.
func (c *conn) asked() {
	c.all.mutex.Lock()
	defer c.all.mutex.Unlock()
	c.busy = true
}

// keepLittle bounds what the system keeps for a reader, in bytes, so that one that does not read is soon seen.
func (c *conn) keepLittle(most int) {
	if sends, ok := c.Conn.(interface{ SetWriteBuffer(bytes int) error }); ok {
		_ = sends.SetWriteBuffer(most) // else it is seen later
	}
}

func (c *conn) Close() error {
	c.all.mutex.Lock()
	c.all.open = slices.DeleteFunc(c.all.open, func(o *conn) bool { return o == c })
	c.all.mutex.Unlock()
	return c.Conn.Close()
}

// CloseWrite ends the answer, so that a client reads it whole before the connection is closed (net/http calls it).
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
