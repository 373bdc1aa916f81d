package lab

import (
	"context"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// halfOpenMark marks the sockets whose bare ACKs do not leave the client (socket(7), SO_MARK).
const halfOpenMark = 0x68

// HoldACKs drops the bare ACKs of half-open connections (ProbeOptions.HalfOpen) in the client: the third packet of each
// connection is the first one with data.
func (c *Client) HoldACKs(ctx context.Context) error {
	return feed(ctx, `table inet half_open {
	chain output {
		type filter hook output priority 0
		meta mark 0x68 tcp flags == ack drop
	}
}
`, "ip", "netns", "exec", Namespace(c.name), "nft", "-f", "-")
}

// dialHalfOpen opens a connection and waits. Meanwhile the server does not know that the client has received its
// SYN-ACK.
func (c *Client) dialHalfOpen(wait time.Duration) func(netip.AddrPort, time.Time) (*net.TCPConn, error) {
	return func(target netip.AddrPort, deadline time.Time) (*net.TCPConn, error) {
		ns := c.ns.Load()
		if ns == nil {
			return nil, errClosed
		}
		conn, err := ns.dial(target, deadline, func(fd int) error {
			return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, halfOpenMark)
		})
		if err == nil {
			time.Sleep(wait)
		}
		return conn, err
	}
}
