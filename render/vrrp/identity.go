// Package vrrp is what a virtual router is known by, whether two are the same one, and how long a takeover takes.
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

// Identity is what two routers must have in common to be one virtual router. Routers of which one was changed do not
// hear each other, or drop what they hear, and both hold the addresses.
type Identity struct {
	Family    api.Family    `json:"family"`
	Version   int           `json:"version"`             // of VRRP
	RouterID  int           `json:"routerID"`            // 1 to 255
	Unicast   bool          `json:"unicast,omitempty"`   // transport
	Interval  time.Duration `json:"interval,omitempty"`  // between advertisements, where that must be the same: version 3 learns it
	Addresses int           `json:"addresses,omitempty"` // in an advertisement
	Lenient   bool          `json:"-"`                   // a backup accepts other addresses from a master that it knows: vrrp_skip_check_adv_addr
	Period    time.Duration `json:"period"`              // between advertisements; no part of the identity
}

// String is for people: "router 51, version 2, IPv4, multicast".
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

// Former are the identities that a change gives up for others: a peer that was not changed yet still has them. A family
// that only one side has is no matter between the two. A master may change its addresses where its backups are lenient;
// a backup may not, since after the reload it knows no master.
func Former(before, after []Identity, master bool) []Identity {
	var former []Identity
	for _, old := range before {
		at := slices.IndexFunc(after, func(i Identity) bool { return i.Family == old.Family })
		if at < 0 {
			continue
		}
		switch now := after[at]; {
		case now.kind() != old.kind(): // that alone tells the two apart
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

// kind is what routers drop an advertisement for without a look into it.
func (i Identity) kind() Identity {
	return Identity{Family: i.Family, Version: i.Version, RouterID: i.RouterID, Unicast: i.Unicast}
}

// Covers says whether what a router advertises is of this identity, in all that this one says.
func (i Identity) Covers(other Identity) bool {
	return i.kind() == other.kind() && (i.Interval == 0 || i.Interval == other.Interval) && (i.Addresses == 0 || i.Addresses == other.Addresses)
}

// braces are words of their own, also where no blank is beside them. A Replacer builds a table of some kilobytes when it is
// first used: it must not be made for each line.
var braces = strings.NewReplacer("{", " { ", "}", " } ")

// Identities are those of the instances of a keepalived.conf, whoever wrote it, sorted by family (keepalived.conf(5),
// vrrp_instance). What cannot be understood is not in it.
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

// rest is what the file says elsewhere, or not at all.
func (i *Identity) rest(version int, checked bool) {
	if i.Version == 0 {
		i.Version = version
	}
	if i.Family == api.IPv6 {
		i.Version = 3 // RFC 3768 knows no IPv6
	}
	if i.Version == 2 {
		i.Interval = i.Period
	}
	i.Lenient = !checked
}
