package link

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// program is a filter in classic BPF: a frame is loaded from piece by piece, and kept or dropped.
type program []unix.SockFilter

// Sizes of a load.
const (
	octet uint16 = unix.BPF_B
	half  uint16 = unix.BPF_H
	word  uint16 = unix.BPF_W
)

func (p *program) add(code uint16, jt, jf uint8, k uint32) {
	*p = append(*p, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
}

// load loads from a fixed place in the frame. A frame that is too short is dropped by the kernel.
func (p *program) load(size uint16, at uint32) { p.add(unix.BPF_LD|unix.BPF_ABS|size, 0, 0, at) }

// equal goes on where what was loaded is n, and skips so many instructions where it is not.
func (p *program) equal(n uint32, skip uint8) {
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, skip, n)
}

func (p *program) keep() { p.add(unix.BPF_RET|unix.BPF_K, 0, 0, 1<<18) }
func (p *program) drop() { p.add(unix.BPF_RET|unix.BPF_K, 0, 0, 0) }

// need drops the frame unless n stands at the place.
func (p *program) need(size uint16, at, n uint32) {
	p.load(size, at)
	p.needLoaded(n)
}

// needLoaded drops the frame unless n was loaded.
func (p *program) needLoaded(n uint32) {
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 1, 0, n)
	p.drop()
}

// refuse drops the frame if the MAC stands at the place.
func (p *program) refuse(mac net.HardwareAddr, at uint32) {
	p.load(word, at)
	p.equal(binary.BigEndian.Uint32(mac), 3)
	p.load(half, at+4)
	p.equal(uint32(binary.BigEndian.Uint16(mac[4:])), 1)
	p.drop()
}

// keepAny keeps the frame if one of the addresses, all of one family, stands at the place.
func (p *program) keepAny(addrs []netip.Addr, at uint32) {
	for _, addr := range addrs {
		raw := addr.AsSlice()
		for i := 0; i < len(raw); i += 4 {
			p.load(word, at+uint32(i))
			p.equal(binary.BigEndian.Uint32(raw[i:]), uint8(2*(len(raw)-i-4)/4+1))
		}
		p.keep()
	}
	p.drop()
}

// attach puts the filter on a socket.
func (p program) attach(fd int) error {
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]})
}
