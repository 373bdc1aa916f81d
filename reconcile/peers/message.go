package peers

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"net/netip"
	"slices"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// A message has these fields, with their sizes in octets: flags 1, role 1, generation 4, digest 32, pair 8, router id 1,
// version 1, priority 1, interval in milliseconds 4; the node's name and the agent's version, each after its length 1; the
// number of virtual IPs 1, and each virtual IP after its length 1. Numbers are big-endian. Nothing may follow. Each report
// has exactly one valid message.
const (
	flagGoodbye = 1 << iota
	flagDrained
	flagServing
	flagTrial
	allFlags = flagGoodbye | flagDrained | flagServing | flagTrial
)

const (
	digestSize = 32
	pairSize   = 8
	fixedSize  = 1 + 1 + 4 + digestSize + pairSize + 1 + 1 + 1 + 4

	maxName      = 128 // the limit of the spec
	maxVersion   = 64
	maxAddresses = 20 // the limit of the spec
	maxInterval  = 255 * time.Second
)

// roles lists the roles by their number in a message.
var roles = []host.Role{host.RoleUnknown, host.RoleMaster, host.RoleBackup, host.RoleFault, host.RoleStopped}

// Message encodes the report for sending.
func (r Report) Message() []byte {
	var flags byte
	for flag, set := range map[byte]bool{flagGoodbye: r.Goodbye, flagDrained: r.Drained, flagServing: r.Serving, flagTrial: r.Spec.Trial} {
		if set {
			flags |= flag
		}
	}
	m := []byte{flags, byte(max(slices.Index(roles, r.Role), 0))}
	m = binary.BigEndian.AppendUint32(m, uint32(min(max(r.Spec.Generation, 0), math.MaxInt32)))
	m = append(m, octets(r.Spec.Digest, digestSize)...)
	m = append(m, octets(r.Spec.Pair, pairSize)...)
	router := r.Spec.Router
	m = append(m, byte(router.ID), byte(router.Version), byte(router.Priority))
	m = binary.BigEndian.AppendUint32(m, uint32(router.Interval.Milliseconds()))
	m = appendShort(m, []byte(nameOf(r.Node)))
	version := []byte(r.Agent)
	if len(version) > maxVersion || !printable(version) {
		version = nil
	}
	m = appendShort(m, version)
	addrs := router.Addresses[:min(len(router.Addresses), maxAddresses)]
	m = append(m, byte(len(addrs)))
	for _, addr := range addrs {
		m = appendShort(m, addr.AsSlice())
	}
	return m
}

// octets decodes a hexadecimal text of size octets. Any other text gives zeros.
func octets(text string, size int) []byte {
	if raw, err := hex.DecodeString(text); err == nil && len(raw) == size {
		return raw
	}
	return make([]byte, size)
}

func appendShort(m, part []byte) []byte { return append(append(m, byte(len(part))), part...) }

var errMalformed = errors.New("cannot read the message: malformed")

// Parse decodes an untrusted message. It accepts only what Message writes.
func Parse(m []byte) (Report, error) {
	if len(m) < fixedSize || m[0]&^allFlags != 0 || int(m[1]) >= len(roles) {
		return Report{}, errMalformed
	}
	generation := binary.BigEndian.Uint32(m[2:])
	rest := m[6:]
	r := Report{
		Goodbye: m[0]&flagGoodbye != 0, Drained: m[0]&flagDrained != 0, Serving: m[0]&flagServing != 0, Role: roles[m[1]],
		Spec: Spec{
			Digest: hexOf(rest[:digestSize]), Generation: int(generation), Trial: m[0]&flagTrial != 0, Pair: hexOf(rest[digestSize:][:pairSize]),
		},
	}
	rest = rest[digestSize+pairSize:]
	interval := binary.BigEndian.Uint32(rest[3:])
	r.Spec.Router = Router{ID: int(rest[0]), Version: int(rest[1]), Priority: int(rest[2]), Interval: time.Duration(interval) * time.Millisecond}
	router := r.Spec.Router
	if generation > math.MaxInt32 || router.ID == 0 || router.Version != 2 && router.Version != 3 || router.Priority == 0 || router.Priority == 255 ||
		router.Interval < 10*time.Millisecond || router.Interval > maxInterval {
		return Report{}, errMalformed
	}
	name, rest, ok := short(rest[7:], maxName)
	if !ok || len(name) == 0 || slices.ContainsFunc(name, func(b byte) bool { return !nameOctet(b) }) {
		return Report{}, errMalformed
	}
	version, rest, ok := short(rest, maxVersion)
	if !ok || !printable(version) {
		return Report{}, errMalformed
	}
	r.Node, r.Agent = string(name), string(version)
	if r.Spec.Router.Addresses, ok = addressesOf(rest); !ok {
		return Report{}, errMalformed
	}
	return r, nil
}

// addressesOf decodes the end of a message: at least one virtual IP, and none twice.
func addressesOf(m []byte) (all []netip.Addr, ok bool) {
	if len(m) == 0 || m[0] == 0 || m[0] > maxAddresses {
		return nil, false
	}
	rest := m[1:]
	for range m[0] {
		var raw []byte
		if raw, rest, ok = short(rest, 16); !ok {
			return nil, false
		}
		addr, valid := netip.AddrFromSlice(raw)
		if !valid || addr.Is4In6() || addr.IsUnspecified() || addr.IsMulticast() || addr.IsLoopback() || slices.Contains(all, addr) {
			return nil, false
		}
		all = append(all, addr)
	}
	return all, len(rest) == 0
}

// short splits off a part that follows its length. It fails if the part is longer than most octets or not complete.
func short(m []byte, most int) (part, rest []byte, ok bool) {
	if len(m) == 0 || int(m[0]) > most || len(m) < 1+int(m[0]) {
		return nil, nil, false
	}
	return m[1 : 1+m[0]], m[1+m[0]:], true
}

// hexOf encodes octets in hexadecimal. All zeros give "".
func hexOf(raw []byte) string {
	if !slices.ContainsFunc(raw, func(b byte) bool { return b != 0 }) {
		return ""
	}
	return hex.EncodeToString(raw)
}

// nameOctet says whether a name may contain an octet.
func nameOctet(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '.' || b == '_' || b == '-'
}

func printable(text []byte) bool {
	return !slices.ContainsFunc(text, func(b byte) bool { return b <= ' ' || b > '~' })
}
