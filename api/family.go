package api

import "net/netip"

// Family is an address family. Its number is the version of IP.
type Family int

// The address families, in the order in which all code handles them.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// Families has both families, in order.
var Families = []Family{IPv4, IPv6}

// FamilyOf returns the family of a valid address. An IPv4-mapped IPv6 address (::ffff:192.0.2.1) counts as IPv6.
func FamilyOf(addr netip.Addr) Family {
	if addr.Is4() {
		return IPv4
	}
	return IPv6
}

// String returns "IPv4" or "IPv6".
func (f Family) String() string {
	if f == IPv6 {
		return "IPv6"
	}
	return "IPv4"
}
