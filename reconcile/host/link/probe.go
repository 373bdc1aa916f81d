package link

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/net/bpf"
)

// Target is a TCP port to probe on one machine of the link.
type Target struct {
	MAC  net.HardwareAddr // of the machine
	From netip.Addr       // one of our own addresses, of the same family as To
	To   netip.AddrPort   // an address that this host may hold too
}

// Reply is a machine's reply to a connection request.
type Reply int

const (
	Silent   Reply = iota // no reply: the machine does not hold the address, or a firewall drops the request
	Refused               // RST: the machine holds the address, and nothing listens on the port
	Accepted              // SYN and ACK: a program listens
)

// Probe sends a TCP connection request (SYN) to each target, and returns what each replied within wait. It answers an
// accepting target at once with a RST, so no program there sees a connection (RFC 9293 §3.5.3). A kernel socket would not
// work: if this machine holds the address too, its own kernel would answer.
func Probe(ctx context.Context, iface string, targets []Target, wait time.Duration) ([]Reply, error) {
	replies, err := probe(ctx, iface, targets, wait)
	if err != nil {
		return nil, fmt.Errorf("cannot probe a service on %s: %w", iface, err)
	}
	return replies, nil
}

func probe(ctx context.Context, iface string, targets []Target, wait time.Duration) ([]Reply, error) {
	l, err := lookAt(iface)
	if err != nil {
		return nil, err
	}
	asked, err := l.openProbes(targets)
	if err != nil {
		return nil, err
	}
	type result struct {
		of    int
		reply Reply
		err   error
	}
	results := make(chan result, len(targets))
	for i, c := range asked {
		go func() {
			defer c.socket.file.Close() // takes the kernel some milliseconds, so the result does not wait for it
			reply, err := c.request(ctx, wait)
			results <- result{i, reply, err}
		}()
	}
	replies := make([]Reply, len(targets))
	for range targets {
		r := <-results
		if r.err != nil {
			return nil, r.err
		}
		replies[r.of] = r.reply
	}
	return replies, ctx.Err()
}

// openProbes opens a socket for each target.
func (l link) openProbes(targets []Target) (asked []connection, err error) {
	defer func() {
		if err != nil {
			for _, c := range asked {
				c.socket.file.Close()
			}
		}
	}()
	for _, target := range targets {
		if target.From.Is4() != target.To.Addr().Is4() || !target.From.IsValid() || len(target.MAC) != 6 {
			return asked, fmt.Errorf("there is no way from %s to %s at MAC %s", target.From, target.To, target.MAC)
		}
		var random [6]byte
		_, _ = rand.Read(random[:]) // never fails
		// a port that one of our programs uses only by chance, and a sequence number that only a host that saw the request
		// knows
		c := connection{
			Target: target, own: l.mac, port: 32768 + binary.BigEndian.Uint16(random[:])%28000, number: binary.BigEndian.Uint32(random[2:]),
		}
		etherType := typeIPv4
		if target.To.Addr().Is6() {
			etherType = typeIPv6
		}
		if c.socket, err = open(l, etherType, c.filter()); err != nil {
			return asked, err
		}
		asked = append(asked, c)
	}
	return asked, nil
}

// request asks the target, and again if no answer came in half the time.
func (c connection) request(ctx context.Context, wait time.Duration) (reply Reply, err error) {
	began := time.Now()
	for _, until := range []time.Time{began.Add(wait / 2), began.Add(wait)} {
		if err := c.socket.file.SetReadDeadline(until); err != nil {
			return Silent, err
		}
		stop := endWith(ctx, c.socket.file)
		err := c.socket.send(c.introduction())
		if err == nil {
			err = c.socket.send(c.segment(flagSYN))
		}
		if err == nil {
			err = receive(c.socket.file, func(frame []byte) bool {
				reply = c.parse(frame)
				return reply != Silent
			})
		}
		if stop(); err != nil || reply == Refused || ctx.Err() != nil {
			return reply, err
		}
		if reply == Accepted {
			return reply, c.socket.send(c.segment(flagRST))
		}
	}
	return Silent, nil
}

// connection is a requested connection that is never established.
type connection struct {
	Target
	socket *socket
	own    net.HardwareAddr
	port   uint16 // ours
	number uint32 // the first sequence number
}

// Offsets in a TCP segment, and its flags (RFC 9293 §3.1).
const (
	protocolTCP = 6

	tcpAck    = 8
	tcpOffset = 12
	tcpFlags  = 13
	tcpSum    = 16
	tcpEnd    = 20 // without options

	flagFIN, flagSYN, flagRST, flagACK = 0x01, 0x02, 0x04, 0x10
)

// introduction asks the target alone for the probed address, and so tells it our own MAC. The target could not ask for
// ours: its request would come from the probed address, and a kernel that holds that address too does not answer such a
// request.
func (c connection) introduction() []byte {
	frame := whoHas(c.own, c.From, c.To.Addr())
	copy(frame, c.MAC)
	return frame
}

// segment returns a frame with the SYN, or with the RST after it.
func (c connection) segment(flag byte) []byte {
	number, options := c.number, []byte{2, 4, 1460 >> 8, 1460 & 0xff} // maximum segment size (RFC 9293 §3.7.1)
	if flag == flagRST {
		number, options = number+1, nil
	}
	tcp := tcpSegment(netip.AddrPortFrom(c.From, c.port), c.To, number, flag, options)
	from, to := c.From.AsSlice(), c.To.Addr().AsSlice()

	frame := header(c.MAC, c.own, typeIPv4)
	if c.From.Is6() {
		frame = append(header(c.MAC, c.own, typeIPv6), 0x60, 0, 0, 0, 0, byte(len(tcp)), protocolTCP, 64)
		return slices.Concat(frame, from, to, tcp)
	}
	frame = append(frame, 0x45, 0, 0, byte(ip4End-frameHeader+len(tcp)), 0, 0, 0x40, 0, 64, protocolTCP, 0, 0) // don't fragment
	frame = slices.Concat(frame, from, to, tcp)
	binary.BigEndian.PutUint16(frame[ip4Sum:], checksum(frame[frameHeader:ip4End]))
	return frame
}

// tcpSegment returns a segment without data and without an acknowledgement (RFC 9293 §3.1).
func tcpSegment(from, to netip.AddrPort, number uint32, flag byte, options []byte) []byte {
	tcp := binary.BigEndian.AppendUint16(nil, from.Port())
	tcp = binary.BigEndian.AppendUint16(tcp, to.Port())
	tcp = binary.BigEndian.AppendUint32(tcp, number)
	tcp = append(tcp, 0, 0, 0, 0, byte(tcpEnd+len(options))/4<<4, flag, 0xff, 0xff, 0, 0, 0, 0)
	tcp = append(tcp, options...)
	pseudo := slices.Concat(from.Addr().AsSlice(), to.Addr().AsSlice(), []byte{0, protocolTCP}, binary.BigEndian.AppendUint16(nil, uint16(len(tcp))))
	binary.BigEndian.PutUint16(tcp[tcpSum:], checksum(pseudo, tcp))
	return tcp
}

// parse returns the target's reply to the SYN. The MAC, addresses, ports and the acknowledged number must match. It ignores
// the TCP checksum: between virtual machines on one computer the virtual network card leaves it unset.
func (c connection) parse(frame []byte) Reply {
	var from, to netip.Addr
	var tcp []byte
	if c.To.Addr().Is6() {
		from, to, tcp, _ = payload6(frame, protocolTCP)
	} else {
		from, to, tcp, _ = payload4(frame, protocolTCP)
	}
	if len(tcp) < tcpEnd || int(tcp[tcpOffset]>>4)*4 < tcpEnd || int(tcp[tcpOffset]>>4)*4 > len(tcp) ||
		!slices.Equal(frame[frameSource:][:6], c.MAC) || from != c.To.Addr() || to != c.From ||
		binary.BigEndian.Uint16(tcp) != c.To.Port() || binary.BigEndian.Uint16(tcp[2:]) != c.port ||
		binary.BigEndian.Uint32(tcp[tcpAck:]) != c.number+1 {
		return Silent
	}
	switch tcp[tcpFlags] & (flagFIN | flagSYN | flagRST | flagACK) {
	case flagSYN | flagACK:
		return Accepted
	case flagRST | flagACK:
		return Refused
	}
	return Silent
}

// filter keeps the frames that parse can accept.
func (c connection) filter() program {
	var p program
	ports, number := uint32(c.To.Port())<<16|uint32(c.port), c.number+1
	p.needMAC(c.MAC, frameSource)
	if c.To.Addr().Is6() {
		p.need(octet, ip6Next, protocolTCP)
		p.needAddr(c.To.Addr(), ip6Source)
		p.needAddr(c.From, ip6Target)
		p.need(word, ip6End, ports)
		p.need(word, ip6End+tcpAck, number)
		p.keep()
		return p
	}
	p.need(octet, ip4Protocol, protocolTCP)
	p.refuseFragments()
	p.needAddr(c.To.Addr(), ip4Source)
	p.needAddr(c.From, ip4Target)
	p.add(bpf.LoadMemShift{Off: frameHeader}, // the length of the IP header
		bpf.LoadIndirect{Off: frameHeader, Size: word})
	p.needLoaded(ports)
	p.add(bpf.LoadIndirect{Off: frameHeader + tcpAck, Size: word})
	p.needLoaded(number)
	p.keep()
	return p
}
