package api

import (
	"net/netip"
	"strings"
)

// The rules of addresses. All take plain addresses only: no zone, and IPv4 not as part of IPv6, so that equal
// addresses are equal netip.Addrs and mean the same to every program.

const wantAddress = "must be an IPv4 or IPv6 address"

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

func addressRule(text string) (addr netip.Addr, wrong string) {
	addr, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return addr, wantAddress
	case addr.Zone() != "":
		return addr, "must be an address without a zone"
	case addr.Is4In6():
		return addr, "must be written as IPv4, " + addr.Unmap().String()
	}
	return addr, ""
}

// hostAddressRule takes addresses that one host can have.
func hostAddressRule(text string) (addr netip.Addr, wrong string) {
	addr, wrong = addressRule(text)
	if wrong == "" && (addr.IsMulticast() || addr.IsUnspecified() || addr == broadcast) {
		wrong = "must be the address of one host"
	}
	return addr, wrong
}

func unicastRule(text, _ string) string {
	addr, wrong := hostAddressRule(text)
	if wrong == "" && addr.IsLoopback() {
		wrong = "must not be a loopback address"
	}
	return wrong
}

func virtualIPRule(text, _ string) string {
	bare, _, hasPrefix := strings.Cut(text, "/")
	if wrong := unicastRule(bare, ""); wrong != "" || !hasPrefix {
		return wrong
	}
	if prefix, err := netip.ParsePrefix(text); err != nil || prefix.Bits() == 0 {
		if !strings.Contains(bare, ":") {
			return "must have a prefix of /1 to /32"
		}
		return "must have a prefix of /1 to /128"
	}
	return ""
}

func bindRule(text, _ string) string {
	if text == "*" {
		return ""
	}
	addr, wrong := addressRule(text)
	switch {
	case wrong == wantAddress:
		return `must be "*" or an IPv4 or IPv6 address`
	case wrong != "":
		return wrong
	case addr.IsUnspecified():
		return `must be "*" for every address`
	}
	_, wrong = hostAddressRule(text)
	return wrong
}

// hostRule takes addresses and DNS names (RFC 1123). What ends in a number is never a name: it is an address
// with a typing error, which a resolver might even take.
func hostRule(text, _ string) string {
	labels := strings.Split(text, ".")
	if strings.Contains(text, ":") || numberPattern.MatchString(labels[len(labels)-1]) {
		_, wrong := hostAddressRule(text)
		return wrong
	}
	if !isDNSName(text) {
		return "must be an IPv4 or IPv6 address or a DNS name"
	}
	return ""
}

// dnsNameRule takes names only: what ends in a number is an address.
func dnsNameRule(text, _ string) string {
	if !isDNSName(text) || numberPattern.MatchString(text[strings.LastIndex(text, ".")+1:]) {
		return "must be a DNS name"
	}
	return ""
}

// sniRule takes the names that a TLS client can ask for (RFC 6066 §3), and "*." before one.
func sniRule(text, _ string) string {
	if dnsNameRule(strings.TrimPrefix(text, "*."), "") != "" {
		return `must be a DNS name, or "*." and a DNS name`
	}
	return ""
}

// isDNSName is RFC 1123 §2.1 and RFC 1035 §2.3.4.
func isDNSName(text string) bool {
	for label := range strings.SplitSeq(text, ".") {
		if !labelPattern.MatchString(label) {
			return false
		}
	}
	return len(text) <= 253
}

func addrportRule(text, _ string) string {
	addrport, err := netip.ParseAddrPort(text)
	if err != nil || addrport.Port() == 0 {
		return "must be an address and port like 127.0.0.1:9100 or [::1]:9100"
	}
	if addrport.Addr().IsUnspecified() {
		return ""
	}
	_, wrong := hostAddressRule(addrport.Addr().String())
	return wrong
}

func cidrRule(text, _ string) string {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return "must have a prefix: " + netip.PrefixFrom(addr, addr.BitLen()).String()
	}
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return "must be a CIDR like 10.0.0.0/8 or 2001:db8::/32"
	case prefix.Addr().Is4In6():
		return "must be written as IPv4"
	}
	return ""
}
