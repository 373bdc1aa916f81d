// Package vrrp defines what identifies a virtual router, whether two routers form one, and how long a takeover takes.
package vrrp

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
)

// Identity is what two routers must have in common to form one virtual router. If they differ, they do not receive each
// other's advertisements, or drop them, and both hold the addresses.
type Identity struct {
	Family    api.Family    `json:"family"`
	Version   int           `json:"version"`             // version of VRRP
	RouterID  int           `json:"routerID"`            // 1 to 255
	Unicast   bool          `json:"unicast,omitempty"`   // transport
	Interval  time.Duration `json:"interval,omitempty"`  // between advertisements; 0 with version 3, which learns it from the master
	Addresses int           `json:"addresses,omitempty"` // number of addresses in an advertisement
	Lenient   bool          `json:"-"`                   // a backup accepts other addresses from a known master: vrrp_skip_check_adv_addr
	Period    time.Duration `json:"period"`              // between advertisements; not part of the identity
}

// String returns a text for messages: "router 51, version 2, IPv4, multicast".
func (i Identity) String() string {
	transport := "multicast"
	if i.Unicast {
		transport = "unicast"
	}
	text := fmt.Sprintf("router %d, version %d, %v, %s", i.RouterID, i.Version, i.Family, transport)
	if i.Interval > 0 {
		text += fmt.Sprintf(", every %v", i.Interval)
	}
	if i.Addresses > 0 {
		text += fmt.Sprintf(", with %d addresses", i.Addresses)
	}
	return text
}

// Former returns the identities that a change replaces by others: a peer that is not changed yet still has them. A family
// that exists only before or only after the change does not count. A master may change its addresses if its backups are
// lenient. A backup may not, because after the reload it knows no master.
func Former(before, after []Identity, master bool) []Identity {
	var former []Identity
	for _, old := range before {
		at := slices.IndexFunc(after, func(i Identity) bool { return i.Family == old.Family })
		if at < 0 {
			continue
		}
		switch now := after[at]; {
		case now.kind() != old.kind(): // the kind alone distinguishes the two
			old.Interval, old.Addresses = 0, 0
		case now.Interval != old.Interval:
			old.Addresses = 0
		case now.Addresses == old.Addresses || master && old.Lenient:
			continue
		}
		former = append(former, old)
	}
	return former
}

// kind returns the part of the identity by which a router drops an advertisement before it reads the rest.
func (i Identity) kind() Identity {
	return Identity{Family: i.Family, Version: i.Version, RouterID: i.RouterID, Unicast: i.Unicast}
}

// Covers reports whether the identity that a router advertises matches this one. An interval or a number of addresses of
// 0 in this one matches any.
func (i Identity) Covers(other Identity) bool {
	return i.kind() == other.kind() && (i.Interval == 0 || i.Interval == other.Interval) && (i.Addresses == 0 || i.Addresses == other.Addresses)
}

// braces makes each brace a word of its own. A Replacer builds a table of some kilobytes at its first use, so it must not
// be made for each line.
var braces = strings.NewReplacer("{", " { ", "}", " } ")

// Identities returns the identities of the instances in any keepalived.conf, sorted by family (keepalived.conf(5),
// vrrp_instance). It leaves out instances that it cannot read.
func Identities(data []byte) []Identity {
	version, checked := 2, true
	var all []Identity
	var now *Identity // the instance that is being read
	var blocks []string
	var addrs []netip.Addr
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		line, _, _ = strings.Cut(line, "!")
		words := strings.Fields(braces.Replace(line))
		if len(words) == 0 {
			continue
		}
		value := ""
		if len(words) > 1 {
			value = words[1]
		}
		number, _ := strconv.Atoi(value)
		depth, block := len(blocks), ""
		if depth > 0 {
			block = blocks[depth-1]
		}
		switch {
		case block == "global_defs" && words[0] == "vrrp_version":
			version = number
		case block == "global_defs" && words[0] == "vrrp_skip_check_adv_addr":
			checked = value == "false" || value == "off" || value == "no"
		case depth == 0 && words[0] == "vrrp_instance":
			now, addrs = &Identity{Period: time.Second}, nil
		case now == nil || depth == 0:
		case block == "virtual_ipaddress":
			text, _, _ := strings.Cut(words[0], "/")
			if addr, err := netip.ParseAddr(text); err == nil {
				addrs = append(addrs, addr)
			}
		case depth > 1:
		case words[0] == "virtual_router_id":
			now.RouterID = number
		case words[0] == "version":
			now.Version = number
		case words[0] == "unicast_peer":
			now.Unicast = true
		case words[0] == "advert_int":
			if seconds, err := strconv.ParseFloat(value, 64); err == nil {
				now.Period = time.Duration(seconds * float64(time.Second))
			}
		}
		for _, word := range words {
			switch {
			case word == "{":
				blocks = append(blocks, words[0])
			case word == "}" && len(blocks) > 0:
				if blocks = blocks[:len(blocks)-1]; len(blocks) == 0 && now != nil {
					if len(addrs) > 0 && now.RouterID > 0 {
						all = append(all, now.whole(addrs))
					}
					now = nil
				}
			}
		}
	}
	for i := range all {
		all[i].rest(version, checked)
	}
	slices.SortStableFunc(all, func(a, b Identity) int { return int(a.Family) - int(b.Family) })
	return all
}

func (i Identity) whole(addrs []netip.Addr) Identity {
	i.Family, i.Addresses = api.FamilyOf(addrs[0]), len(addrs)
	return i
}

// rest completes the identity with the global settings and the defaults.
func (i *Identity) rest(version int, checked bool) {
	if i.Version == 0 {
		i.Version = version
	}
	if i.Family == api.IPv6 {
		i.Version = 3 // RFC 3768 has no IPv6
	}
	if i.Version == 2 {
		i.Interval = i.Period
	}
	i.Lenient = !checked
}
