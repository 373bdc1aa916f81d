package link

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// program is a classic BPF filter: it loads parts of a frame, and keeps or drops the frame.
type program []bpf.Instruction

// Sizes of a load, in octets.
const (
	octet = 1
	half  = 2
	word  = 4
)

func (p *program) add(instructions ...bpf.Instruction) { *p = append(*p, instructions...) }

// load loads from a fixed offset in the frame. The kernel drops a frame that is too short.
func (p *program) load(size int, at uint32) { p.add(bpf.LoadAbsolute{Off: at, Size: size}) }

// equal continues if the loaded value is n, and otherwise skips that many instructions.
func (p *program) equal(n uint32, skip uint8) {
	p.add(bpf.JumpIf{Cond: bpf.JumpEqual, Val: n, SkipFalse: skip})
}

func (p *program) keep() { p.add(bpf.RetConstant{Val: 1 << 18}) }
func (p *program) drop() { p.add(bpf.RetConstant{Val: 0}) }

// need drops the frame unless the value at the offset is n.
func (p *program) need(size int, at, n uint32) {
	p.load(size, at)
	p.needLoaded(n)
}

// needLoaded drops the frame unless the loaded value is n.
func (p *program) needLoaded(n uint32) {
	p.add(bpf.JumpIf{Cond: bpf.JumpEqual, Val: n, SkipTrue: 1})
	p.drop()
}

// refuse drops the frame if the MAC is at the offset.
func (p *program) refuse(mac net.HardwareAddr, at uint32) {
	p.load(word, at)
	p.equal(binary.BigEndian.Uint32(mac), 3)
	p.load(half, at+4)
	p.equal(uint32(binary.BigEndian.Uint16(mac[4:])), 1)
	p.drop()
}

// needMAC drops the frame unless the MAC is at the offset.
func (p *program) needMAC(mac net.HardwareAddr, at uint32) {
	p.need(word, at, binary.BigEndian.Uint32(mac))
	p.need(half, at+4, uint32(binary.BigEndian.Uint16(mac[4:])))
}

// needAddr drops the frame unless the address is at the offset.
func (p *program) needAddr(addr netip.Addr, at uint32) {
	for raw := addr.AsSlice(); len(raw) > 0; raw = raw[4:] {
		p.need(word, at, binary.BigEndian.Uint32(raw))
		at += 4
	}
}

// refuseFragments drops the frame if it holds a fragment of an IPv4 packet.
func (p *program) refuseFragments() {
	p.load(half, ip4Fragment)
	p.add(bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: anyFragment, SkipFalse: 1})
	p.drop()
}

// keepAny keeps the frame if one of the addresses, all of one family, is at the offset.
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

func (p program) attach(fd int) error {
	assembled, err := bpf.Assemble(p)
	if err != nil {
		return err
	}
	var filter []unix.SockFilter
	for _, i := range assembled {
		filter = append(filter, unix.SockFilter{Code: i.Op, Jt: i.Jt, Jf: i.Jf, K: i.K})
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
}
