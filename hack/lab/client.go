package lab

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"
)

// A Client is a station that sends requests from a namespace of its own, in this process.
type Client struct {
	*port
}

// clientTLS accepts any certificate: the name in the answer identifies the server.
var clientTLS = &tls.Config{InsecureSkipVerify: true, CurvePreferences: cheapCurves}

// AddClient adds a client.
func (l *Lab) AddClient(ctx context.Context, name string, addr netip.Prefix) (*Client, error) {
	p, err := l.addStation(ctx, name, addr)
	if err != nil {
		return nil, err
	}
	c := &Client{port: p}
	err = c.ns.Load().do(func() error {
		// Every probe occupies a port for a minute; a long run with many probes would use up the default range.
		return os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("1024 65535"), 0)
	})
	if err == nil {
		err = l.adopt(c.unplug)
	}
	if err != nil {
		c.unplug()
		return nil, fmt.Errorf("cannot add client %s: %w", name, err)
	}
	return c, nil
}

// addStation attaches a station that runs in this process.
func (l *Lab) addStation(ctx context.Context, name string, addr netip.Prefix) (*port, error) {
	p := &port{name: name, addrs: []netip.Prefix{addr}}
	if err := checkStation(name, p.addrs); err != nil {
		return nil, err
	}
	if err := l.claim(name); err != nil {
		return nil, err
	}
	if err := p.plug(ctx); err != nil {
		l.forget(name)
		return nil, fmt.Errorf("cannot connect %s: %w", name, err)
	}
	return p, nil
}

// Name returns the client's name.
func (c *Client) Name() string { return c.name }

// Command prepares a command of the machine that runs in the client's namespace. It is killed when ctx ends.
func (c *Client) Command(ctx context.Context, args ...string) *exec.Cmd {
	return command(ctx, append([]string{"ip", "netns", "exec", Namespace(c.name)}, args...)...)
}

// Dial opens a TCP connection to target from the client's namespace. It fails when ctx ends, or after five seconds
// without a deadline. The connection itself has no deadline.
func (c *Client) Dial(ctx context.Context, target string) (net.Conn, error) {
	at, err := parseTarget(target)
	if err != nil {
		return nil, err
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(5 * time.Second)
	}
	conn, err := c.dial(at, deadline)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Time{})
}

// Listen opens a listener in the client's namespace, for a station that serves.
func (c *Client) Listen(at string) (net.Listener, error) {
	addr, err := parseTarget(at)
	if err != nil {
		return nil, err
	}
	ns := c.ns.Load()
	if ns == nil {
		return nil, errClosed
	}
	return ns.listen(addr)
}

// Get sends a request to target, such as 198.51.100.100:9000, over a new TLS connection and returns the name of the
// server that answered. It times out after five seconds if ctx has no earlier deadline.
func (c *Client) Get(ctx context.Context, target string) (server string, err error) {
	return c.GetPath(ctx, target, "/")
}

// GetPath is Get for another path; a status other than 200 is an error.
func (c *Client) GetPath(ctx context.Context, target, path string) (server string, err error) {
	at, err := parseTarget(target)
	if err != nil {
		return "", err
	}
	deadline := time.Now().Add(5 * time.Second)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	conn, err := c.dial(at, deadline)
	if err != nil {
		return "", err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer conn.Close()
	return ask(conn, path)
}

func parseTarget(target string) (netip.AddrPort, error) {
	at, err := netip.ParseAddrPort(target)
	if err != nil {
		return at, fmt.Errorf("cannot use target: %w", err)
	}
	return at, nil
}

// dial connects to target; the use of the connection must end before the deadline.
func (c *Client) dial(target netip.AddrPort, deadline time.Time) (*net.TCPConn, error) {
	ns := c.ns.Load()
	if ns == nil {
		return nil, errClosed
	}
	return ns.dial(target, deadline)
}

// ask makes one request over TLS on a new connection.
func ask(conn *net.TCPConn, path string) (server string, err error) {
	response, err := request(tls.Client(conn, clientTLS), path, "close")
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err != nil {
		return "", fmt.Errorf("cannot read the answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("cannot use the answer: status %d", response.StatusCode)
	}
	return strings.TrimSpace(string(body)), nil
}

func request(conn *tls.Conn, path, connection string) (*http.Response, error) {
	if err := conn.Handshake(); err != nil {
		return nil, fmt.Errorf("cannot shake hands: %w", err)
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: lab\r\nConnection: %s\r\n\r\n", path, connection); err != nil {
		return nil, fmt.Errorf("cannot ask: %w", err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, fmt.Errorf("cannot read the answer: %w", err)
	}
	return response, nil
}

// A LongConn is a connection that stays open and idle, like a watch of kubectl.
type LongConn struct {
	// Server is the name of the server at the other end.
	Server string

	conn *tls.Conn
	done chan struct{}
	at   time.Time
	err  error
}

// LongConn opens a long idle connection to target.
func (c *Client) LongConn(ctx context.Context, target string) (*LongConn, error) {
	at, err := parseTarget(target)
	if err != nil {
		return nil, err
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(5 * time.Second)
	}
	tcp, err := c.dial(at, deadline)
	if err != nil {
		return nil, err
	}
	l := &LongConn{conn: tls.Client(tcp, clientTLS), done: make(chan struct{})}
	response, err := request(l.conn, HangPath, "keep-alive")
	if err != nil {
		tcp.Close()
		return nil, err
	}
	body := bufio.NewReader(response.Body)
	name, err := body.ReadString('\n')
	if err == nil {
		err = tcp.SetDeadline(time.Time{})
	}
	if err != nil {
		tcp.Close()
		return nil, fmt.Errorf("cannot read the answer: %w", err)
	}
	l.Server = strings.TrimSpace(name)
	go func() {
		_, err := body.ReadByte()
		if err == nil {
			err = errors.New("the server spoke")
		}
		l.at, l.err = time.Now(), err
		close(l.done)
	}()
	return l, nil
}

// Done is closed when the connection has been cut.
func (l *LongConn) Done() <-chan struct{} { return l.done }

// Cut reports whether the connection was cut, when, and how; io.EOF and io.ErrUnexpectedEOF are orderly ends.
func (l *LongConn) Cut() (at time.Time, cut bool, err error) {
	select {
	case <-l.done:
		return l.at, true, l.err
	default:
		return time.Time{}, false, nil
	}
}

// Poke sends a few bytes. They make the client notice that a connection is dead if its end was never reported.
func (l *LongConn) Poke() { _, _ = l.conn.Write([]byte("\r\n")) }

// Close ends the connection.
func (l *LongConn) Close() error { return l.conn.NetConn().Close() }
