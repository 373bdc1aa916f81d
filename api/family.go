package api

import "net/netip"

// Family is an address family. Its number is that of the version of IP.
type Family int

// The address families, in the order in which everything that exists for both is done.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// Families are both families, in order.
var Families = []Family{IPv4, IPv6}

// FamilyOf is the family of a valid address. An IPv4 address as part of IPv6 (::ffff:192.0.2.1) counts as IPv6.
func FamilyOf(addr netip.Addr) Family {
	if addr.Is4() {
		return IPv4
	}
	return IPv6
}

// String is "IPv4" or "IPv6".
func (f Family) String() string {
	if f == IPv6 {
		return "IPv6"
	}
	return "IPv4"
}
