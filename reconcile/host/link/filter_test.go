package link

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// kept runs a filter and says whether the frame passes: in the kernel, on a pair of sockets that needs no root, and in the
// virtual machine of package bpf. Both must agree.
func kept(t testing.TB, filter program, frame []byte) bool {
	t.Helper()
	vm, err := bpf.NewVM(filter)
	if err != nil {
		t.Fatal(err)
	}
	length, err := vm.Run(frame)
	if err != nil {
		t.Fatal(err)
	}
	passes := keptByKernel(t, filter, frame)
	if passes != (length > 0) {
		t.Errorf("the kernel keeps frame %x: %t; the virtual machine: %d octets", frame, passes, length)
	}
	return passes
}

func keptByKernel(t testing.TB, filter program, frame []byte) bool {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	if err := filter.attach(pair[1]); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(pair[0], frame); err != nil && err != unix.EPERM { // here the filter's drop shows as EPERM
		t.Fatal(err)
	}
	buffer := make([]byte, 4096)
	n, err := unix.Read(pair[1], buffer)
	if err == nil && !slices.Equal(buffer[:n], frame) {
		t.Errorf("%d octets of %d are kept", n, len(frame))
	}
	return err == nil
}

func TestFilters(t *testing.T) {
	own := bytesOf("02000000000a")
	var many4, many6 []netip.Addr
	for i := range 20 {
		many4 = append(many4, netip.MustParseAddr(fmt.Sprintf("198.51.100.%d", 99+i)))
		many6 = append(many6, netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", 0xf0+i*2)))
	}
	arp, na := bytesOf(gratuitousARP), bytesOf(unsolicitedNA)
	arpFilter, naFilter := claimsByARP(own, many4), claimsByNDP(own, many6)
	a2, a3, a6 := bytesOf(advert2), bytesOf(advert3), bytesOf(advert6)
	for _, test := range []struct {
		name   string
		filter program
		frame  []byte
		want   bool
	}{
		{"a claim", arpFilter, arp, true},
		{"the first", arpFilter, with(arp, arpSenderIP+3, 99), true},
		{"the last", arpFilter, with(arp, arpSenderIP+3, 118), true},
		{"another's address", arpFilter, with(arp, arpSenderIP+3, 98), false},
		{"our own", arpFilter, with(arp, arpSenderMAC+5, 0x0a), false},
		{"nearly our own", arpFilter, with(arp, arpSenderMAC+3, 1, 0, 0x0a), true},
		{"another kind", arpFilter, with(arp, frameHeader+3, 1), false},
		{"cut", arpFilter, arp[:arpSenderIP+2], false},
		{"a claim", naFilter, na, true},
		{"the first", naFilter, with(na, ndpTarget+14, 0, 0xf0), true},
		{"the last", naFilter, with(na, ndpTarget+14, 1, 0x16), true},
		{"another's address", naFilter, with(na, ndpTarget+15, 1), false},
		{"another's network", naFilter, with(na, ndpTarget+7, 1), false},
		{"our own", naFilter, with(na, frameSource+5, 0x0a), false},
		{"a solicitation", naFilter, with(na, ip6End, 135), false},
		{"a router's", naFilter, with(na, ip6Hops, 254), false},
		{"UDP", naFilter, with(na, ip6Next, 17), false},
		{"version 2", advertsByIPv4(own, id2), a2, true},
		{"version 3", advertsByIPv4(own, id3), a3, true},
		{"unicast", advertsByIPv4(own, idU), bytesOf(advertU), true},
		{"another version", advertsByIPv4(own, id3), with(a3, ip4End, 0x21), false},
		{"another router", advertsByIPv4(own, id3), with(a3, ip4End+1, 51), false},
		{"another TTL", advertsByIPv4(own, id3), with(a3, ip4TTL, 254), false},
		{"a fragment", advertsByIPv4(own, id3), with(a3, ip4Fragment, 0x20), false},
		{"a later fragment", advertsByIPv4(own, id3), with(a3, ip4Fragment+1, 1), false},
		{"not to be fragmented", advertsByIPv4(own, id3), with(a3, ip4Fragment, 0x40), true},
		{"TCP", advertsByIPv4(own, id3), with(a3, ip4Protocol, 6), false},
		{"our own", advertsByIPv4(own, id3), with(a3, frameSource+5, 0x0a), false},
		{"IPv6", advertsByIPv6(own, id6), a6, true},
		{"another router", advertsByIPv6(own, id6), with(a6, ip6End+1, 51), false},
		{"another version", advertsByIPv6(own, id6), with(a6, ip6End, 0x21), false},
		{"another hop limit", advertsByIPv6(own, id6), with(a6, ip6Hops, 254), false},
		{"our own", advertsByIPv6(own, id6), with(a6, frameSource+5, 0x0a), false},
	} {
		if got := kept(t, test.filter, test.frame); got != test.want {
			t.Errorf("%s, frame %x: kept %t", test.name, test.frame, got)
		}
	}
}
