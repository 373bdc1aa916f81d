package textrule

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"

	"rlb.dev/rlb-agent/api/yamlfile"
)

// The rules for addresses accept plain addresses only: no zone, and no IPv4-mapped IPv6 addresses. Equal addresses are
// then equal netip.Addrs, and mean the same to every program.

const (
	wantAddress = "must be an IPv4 or IPv6 address"
	wantOne     = "must be the address of one host"
)

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

func addressRule(text string) (addr netip.Addr, wrong string) {
	addr, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return addr, notAnAddress(text)
	case addr.Zone() != "":
		return addr, "must be an address without a zone"
	case addr.Is4In6():
		return addr, "must be written as IPv4, " + addr.Unmap().String()
	}
	return addr, ""
}

// notAnAddress says what a text that is no address must be, and names the likely mistake.
func notAnAddress(text string) string {
	scheme, _, isURL := strings.Cut(text, "://")
	at, portError := netip.ParseAddrPort(text)
	bare, _, hasPrefix := strings.Cut(text, "/")
	_, bareError := netip.ParseAddr(bare)
	inner, insideError := netip.ParseAddr(strings.Trim(bare, "[]"))
	first, _, _ := strings.Cut(text, "-")
	_, firstError := netip.ParseAddr(first)
	joined := strings.ReplaceAll(text, " ", "")
	_, joinedError := netip.ParseAddr(strings.Split(joined, "/")[0])
	switch {
	case joined != text && joinedError == nil:
		return "must be an address without spaces: " + joined
	case isURL:
		return "must be an address without " + yamlfile.Printable(scheme+"://")
	case portError == nil:
		return "must be an address without a port: " + at.Addr().String()
	case hasPrefix && bareError == nil:
		return "must be an address without a prefix length: " + bare
	case insideError == nil && strings.HasPrefix(bare, "["):
		return "must be an address without brackets: " + inner.String() + strings.TrimPrefix(text, bare)
	case firstError == nil:
		return "must be one address, not a range"
	}
	return notIPv4(text)
}

// notIPv4 is notAnAddress for texts that look like an IPv4 address.
func notIPv4(text string) string {
	labels := strings.Split(text, ".")
	zeros := false
	for i, label := range labels {
		n, err := strconv.Atoi(label)
		switch {
		case err != nil:
			if i == 3 && len(labels) == 4 || fourNumbers(labels) {
				return "must be an IPv4 address of four numbers from 0 to 255"
			}
			return wantAddress
		case n > 255 || len(labels) == 4 && n < 0:
			return "must be an IPv4 address of four numbers from 0 to 255"
		case len(label) > 1 && label[0] == '0':
			labels[i], zeros = strconv.Itoa(n), true
		}
	}
	switch {
	case len(labels) != 4:
		return "must be an IPv4 address of four numbers from 0 to 255"
	case zeros:
		return "must be an IPv4 address without leading zeros: " + strings.Join(labels, ".")
	}
	return wantAddress
}

// hostAddressRule accepts addresses that a single host can have.
func hostAddressRule(text string) (addr netip.Addr, wrong string) {
	addr, wrong = addressRule(text)
	if wrong == "" && (addr.IsMulticast() || addr.IsUnspecified() || addr == broadcast) {
		wrong = wantOne
	}
	return addr, wrong
}

// zonelessRule refuses link-local IPv6 addresses: they need an interface, which HAProxy cannot be given.
func zonelessRule(text string) string {
	addr, wrong := hostAddressRule(text)
	if addr.Is6() && addr.WithZone("").IsLinkLocalUnicast() {
		return "must not be a link-local address, because HAProxy cannot know its interface"
	}
	return wrong
}

func unicastRule(text, _ string) string {
	addr, wrong := hostAddressRule(text)
	if wrong == "" && addr.IsLoopback() {
		wrong = "must not be a loopback address"
	}
	return wrong
}

func virtualIPRule(text, _ string) string {
	if words := strings.Fields(text); len(words) == 3 && words[1] == "dev" {
		return "must be an address; with its interface it is a mapping: {address: " + yamlfile.Printable(words[0]) + ", interface: " + yamlfile.Printable(words[2]) + "}"
	}
	bare, _, hasPrefix := strings.Cut(text, "/")
	if wrong := unicastRule(bare, ""); wrong != "" {
		if strings.HasPrefix(bare, "[") {
			return notAnAddress(text)
		}
		return wrong
	}
	if !hasPrefix {
		return ""
	}
	prefix, err := netip.ParsePrefix(text)
	addr := netip.MustParseAddr(bare)
	switch {
	case err != nil || prefix.Bits() == 0:
		return "must have a prefix length of 1 to " + strconv.Itoa(addr.BitLen()) + maskHint(text)
	case prefix.Bits() < addr.BitLen()-1 && addr == prefix.Masked().Addr():
		return wantOne + ", not that of the network"
	case addr.Is4() && prefix.Bits() < 31 && addr == lastOf(prefix):
		return wantOne + ", not the broadcast address"
	}
	return ""
}

// lastOf returns the last address of an IPv4 network.
func lastOf(network netip.Prefix) netip.Addr {
	four := network.Addr().As4()
	last := binary.BigEndian.Uint32(four[:]) | ^uint32(0)>>network.Bits()
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, last)))
}

// maskHint proposes the prefix length for an address with a netmask, as ": …", or returns "".
func maskHint(text string) string {
	addr, mask, _ := strings.Cut(text, "/")
	parsed, err := netip.ParseAddr(mask)
	if err != nil || !parsed.Is4() {
		return ""
	}
	four := parsed.As4()
	ones := bits.LeadingZeros32(^binary.BigEndian.Uint32(four[:]))
	if binary.BigEndian.Uint32(four[:])<<ones != 0 { // no mask: a one after a zero
		return ""
	}
	return ": " + addr + "/" + strconv.Itoa(ones)
}

func bindRule(text, _ string) string {
	const want = `must be "*" or an IPv4 or IPv6 address`
	if text == "*" {
		return ""
	}
	if host, port, found := cutLast(text, ":"); found && (host == "*" || host == "") && numberPattern.MatchString(port) {
		return want + ", without the port"
	}
	addr, wrong := addressRule(strings.Trim(text, "[]"))
	switch {
	case wrong == wantAddress && interfacePattern.MatchString(text):
		return want + ", not a name"
	case wrong == wantAddress:
		return want
	case wrong != "":
		return wrong
	case addr.IsUnspecified():
		return `must be "*" for every address`
	case strings.HasPrefix(text, "["):
		return notAnAddress(text)
	}
	return zonelessRule(text)
}

// Host accepts addresses and DNS names (RFC 1123). A text whose last label is a number is no name: it is an address with
// a typing error, which some resolvers would accept.
func Host(text, _ string) string {
	const want = "must be an IPv4 or IPv6 address or a DNS name"
	labels := strings.Split(text, ".")
	last := labels[len(labels)-1]
	if strings.ContainsAny(text, ":/") || fourNumbers(labels) || numberPattern.MatchString(last) {
		return zonelessRule(text)
	}
	switch {
	case isDNSName(text):
		return ""
	case isDNSName(strings.ReplaceAll(text, "_", "-")):
		return want + `, which has no "_"`
	case hasFinalDot(text, Host):
		return want + withoutDot(text)
	}
	return want
}

// hasFinalDot reports whether a text would satisfy the rule without the dot at its end.
func hasFinalDot(text string, rule func(text, param string) string) bool {
	name, found := strings.CutSuffix(text, ".")
	return found && rule(name, "") == ""
}

func withoutDot(text string) string {
	return " without a dot at its end: " + yamlfile.Printable(strings.TrimSuffix(text, "."))
}

// fourNumbers reports whether a text is most likely meant as an IPv4 address: three numbers or single letters as
// placeholders, and then a label with a digit, or one letter.
func fourNumbers(labels []string) bool {
	for i, label := range labels {
		if i < 3 && !IsNumber(label) && len(label) != 1 {
			return false
		}
	}
	return len(labels) == 4 && (strings.ContainsAny(labels[3], "0123456789") || len(labels[3]) == 1)
}

// dnsNameRule accepts DNS names only. A text whose last label is a number is an address.
func dnsNameRule(text, _ string) string {
	switch {
	case hasFinalDot(text, dnsNameRule):
		return "must be a DNS name" + withoutDot(text)
	case !isDNSName(text) || numberPattern.MatchString(text[strings.LastIndex(text, ".")+1:]):
		return "must be a DNS name"
	}
	return ""
}

// sniRule accepts the names that a TLS client can ask for (RFC 6066 §3), also with "*." before the name.
func sniRule(text, _ string) string {
	const want = `must be a DNS name, or "*." and a DNS name`
	switch {
	case hasFinalDot(text, sniRule):
		return want + "," + withoutDot(text)
	case dnsNameRule(strings.TrimPrefix(text, "*."), "") != "":
		return want
	}
	return ""
}

// isDNSName reports whether a text is a DNS name by RFC 1123 §2.1 and RFC 1035 §2.3.4.
func isDNSName(text string) bool {
	for label := range strings.SplitSeq(text, ".") {
		if !labelPattern().MatchString(label) {
			return false
		}
	}
	return len(text) <= 253
}

func addrportRule(text, _ string) string {
	addrport, err := netip.ParseAddrPort(text)
	if err != nil || addrport.Port() == 0 {
		const want = "must be an address and port like 127.0.0.1:9100 or [::1]:9100"
		if host, port, _ := cutLast(text, ":"); (host == "" || host == "*") && IsNumber(port) {
			return want + "; every address is 0.0.0.0:" + port + " or [::]:" + port
		}
		return want
	}
	if addrport.Addr().IsUnspecified() {
		return ""
	}
	return zonelessRule(addrport.Addr().String())
}

func cidrRule(text, _ string) string {
	const want = "must be a CIDR like 10.0.0.0/8 or 2001:db8::/32"
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return "must have a prefix length: " + netip.PrefixFrom(addr, addr.BitLen()).String()
	}
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil && (text == "any" || text == "all" || text == "*"):
		return want + "; everyone is 0.0.0.0/0 and ::/0"
	case err != nil:
		return want + maskHint(text)
	case prefix.Addr().Is4In6():
		return "must be written as IPv4"
	}
	return ""
}

// cutLast is strings.Cut at the last separator.
func cutLast(text, separator string) (before, after string, found bool) {
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(separator):], true
}

// IsNumber reports whether a text consists of digits only.
func IsNumber(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }
