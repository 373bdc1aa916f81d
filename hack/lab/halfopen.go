package lab

import (
	"context"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// halfOpenMark is the mark of the sockets whose bare ACKs do not leave the client (socket(7), SO_MARK).
const halfOpenMark = 0x68

// HoldACKs keeps the bare ACKs of half-open connections (ProbeOptions.HalfOpen) from leaving the client: the third packet
// of each is the first one with data.
func (c *Client) HoldACKs(ctx context.Context) error {
	return feed(ctx, `table inet half_open {
	chain output {
		type filter hook output priority 0
		meta mark 0x68 tcp flags == ack drop
	}
}
`, "ip", "netns", "exec", Namespace(c.name), "nft", "-f", "-")
}

// dialHalfOpen opens a connection of which the server does not know yet that the client has heard of it, and waits.
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
