package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// Announce tells all hosts on an interface's link that this host holds addresses: by an ARP announcement (RFC 5227 §2.3) and
// an ARP reply, because some hosts accept only one of them, or by an unsolicited neighbour advertisement (RFC 4861 §7.2.6)
// with the override flag.
func Announce(iface string, addrs []netip.Addr) error { return AnnounceTo(iface, addrs, nil) }

// AnnounceTo is like Announce, but to a single machine; nil means all.
func AnnounceTo(iface string, addrs []netip.Addr, to net.HardwareAddr) error {
	if err := announce(iface, addrs, to); err != nil {
		return fmt.Errorf("cannot announce %v on %s: %w", addrs, iface, err)
	}
	return nil
}

func announce(iface string, addrs []netip.Addr, to net.HardwareAddr) error {
	l, err := lookAt(iface)
	if err != nil {
		return err
	}
	var arp, ndp [][]byte
	for _, addr := range addrs {
		if addr = addr.Unmap().WithZone(""); addr.Is6() {
			ndp = append(ndp, unsolicited(l, addr))
			continue
		}
		arp = append(arp, arpFrame(arpRequest, l.mac, addr, make([]byte, 6), addr), arpFrame(arpReply, l.mac, addr, l.mac, addr))
	}
	return errors.Join(l.sendAll(typeARP, arp, to), l.sendAll(typeIPv6, ndp, to))
}

// sendAll sends frames of one EtherType to a single machine, or with nil where they are addressed to.
func (l link) sendAll(etherType uint16, frames [][]byte, to net.HardwareAddr) error {
	if len(frames) == 0 {
		return nil
	}
	var nothing program
	nothing.drop()
	s, err := open(l, etherType, nothing)
	if err != nil {
		return err
	}
	defer func() { go s.file.Close() }() // takes the kernel some milliseconds, so the caller does not wait for it
	for _, frame := range frames {
		copy(frame, to)
		if err := s.send(frame); err != nil {
			return err
		}
	}
	return nil
}

// unsolicited returns a neighbour advertisement to all nodes. Like the kernel's own, it says whether this host is a router.
func unsolicited(l link, addr netip.Addr) []byte {
	const override, router = 0x20, 0x80
	flags := byte(override)
	if text, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + l.name + "/forwarding"); err == nil && strings.TrimSpace(string(text)) != "0" {
		flags |= router
	}
	message := slices.Concat([]byte{neighbourAdvertisement, 0, 0, 0, flags, 0, 0, 0}, addr.AsSlice(), []byte{optionTargetMAC, 1}, l.mac)
	return icmp6Frame(l.mac, addr, netip.IPv6LinkLocalAllNodes(), message)
}
