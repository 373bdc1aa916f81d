package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// packet is an incoming packet that the firewall must accept.
type packet struct {
	what   string // a text for people
	family api.Family
	iface  string
	proto  string // "tcp", or the protocol number
	port   int
	from   netip.Addr // not valid if the source can be any address
	reply  bool       // the packet may belong to a connection that this host opened
}

// firewall checks that no rule of this host drops packets that the spec needs.
func firewall(_ context.Context, e *exam) (found []Finding, note string, err error) {
	if err := cmp.Or(e.lookErr, e.chainsErr); err != nil {
		return nil, "", err
	}
	for _, p := range e.wantedPackets() {
		for _, base := range e.chains {
			if !base.Input || !ofFamily(base, p.family) || e.opensItself(base) {
				continue
			}
			if outcome, rule := (filter{e.chains, p}).walk(base, 0); outcome == dropped {
				found = append(found, errorf(fmt.Sprintf("the firewall drops %s", p.what), accept(base, e.chains, p), "%s %s: %s", base.Tool, chainName(base), rule))
			}
		}
	}
	return found, e.firewallManager(), e.unreadChains()
}

// firewallManager returns a note that names firewalld or ufw if one of them is on, or "".
func (e *exam) firewallManager() string {
	has := func(is func(host.FilterChain) bool) bool { return slices.ContainsFunc(e.chains, is) }
	switch {
	case has(func(c host.FilterChain) bool { return c.Table == "firewalld" }):
		return "firewalld is on, and lets in what the spec needs"
	case has(func(c host.FilterChain) bool { return strings.HasPrefix(c.Name, "ufw-") }):
		return "ufw is on, and what the spec needs gets in"
	}
	return ""
}

// unreadChains returns an error that names the parts of the packet filter that could not be read, or nil.
func (e *exam) unreadChains() error {
	if len(e.chainsNotes) == 0 {
		return nil
	}
	return errors.New(strings.Join(e.chainsNotes, "; "))
}

// opensItself says whether the first run will insert a jump to the agent's own chain at the beginning of this chain.
func (e *exam) opensItself(base host.FilterChain) bool {
	return *e.spec.Firewall.Manage && !e.applied() && base.Tool == "iptables" && base.Name == "INPUT" &&
		!slices.ContainsFunc(e.chains, func(c host.FilterChain) bool {
			return c.Name == render.Chain && c.Family == base.Family && c.Tool == base.Tool
		})
}

// wantedPackets returns connections to the services, and VRRP of the peers.
func (e *exam) wantedPackets() (all []packet) {
	for _, l := range e.look.Desired.Listen {
		if l.Addr.Addr().IsLoopback() {
			continue
		}
		family := api.FamilyOf(l.Addr.Addr())
		all = append(all, packet{fmt.Sprintf("connections to port %d (%v)", l.Addr.Port(), family), family, e.iface(), "tcp", int(l.Addr.Port()), netip.Addr{}, false})
	}
	for _, id := range e.look.Desired.Model.Routers {
		p := packet{what: fmt.Sprintf("VRRP of the peers (%v)", id.Family), family: id.Family, iface: e.iface(), proto: "112", reply: id.Unicast}
		for _, other := range e.peers() {
			if api.FamilyOf(other.addr) == id.Family && id.Family == api.IPv4 {
				p.from = other.addr
			}
		}
		all = append(all, p)
	}
	return all
}

func ofFamily(c host.FilterChain, family api.Family) bool {
	return c.Family == "inet" || (c.Family == "ip") == (family == api.IPv4)
}

func chainName(c host.FilterChain) string { return c.Family + " " + c.Table + " " + c.Name }

// accept returns the command that accepts a packet, for the program that made the chain.
func accept(base host.FilterChain, chains []host.FilterChain, p packet) string {
	ufw := slices.ContainsFunc(chains, func(c host.FilterChain) bool { return strings.HasPrefix(c.Name, "ufw-") && c.Tool == base.Tool })
	switch {
	case base.Table == "firewalld" && p.proto == "tcp":
		return fmt.Sprintf("firewall-cmd --permanent --add-port=%d/tcp && firewall-cmd --reload", p.port)
	case base.Table == "firewalld":
		return "firewall-cmd --permanent --add-protocol=vrrp && firewall-cmd --reload"
	case base.Tool == "nft" && p.proto == "tcp":
		return fmt.Sprintf("nft insert rule %s tcp dport %d accept, and the same in /etc/nftables.conf", chainName(base), p.port)
	case base.Tool == "nft":
		return fmt.Sprintf("nft insert rule %s meta l4proto 112 accept, and the same in /etc/nftables.conf", chainName(base))
	case ufw && p.proto == "tcp":
		return fmt.Sprintf("ufw allow %d/tcp, or firewall.manage: true in the spec and rlb-agent --once", p.port)
	case ufw:
		from := "any"
		if p.from.IsValid() {
			from = p.from.String()
		}
		return fmt.Sprintf("ufw allow proto vrrp from %s, or firewall.manage: true in the spec and rlb-agent --once", from)
	}
	program := map[string]string{"ip": "iptables", "ip6": "ip6tables"}[base.Family] + strings.TrimPrefix(base.Tool, "iptables")
	if p.proto == "tcp" {
		return fmt.Sprintf("%s -I INPUT -p tcp --dport %d -j ACCEPT, or firewall.manage: true in the spec and rlb-agent --once", program, p.port)
	}
	return fmt.Sprintf("%s -I INPUT -p 112 -j ACCEPT, or firewall.manage: true in the spec and rlb-agent --once", program)
}

// outcome is what a chain does with a packet.
type outcome int

const (
	passes    outcome = iota // the packet goes on to the next rule of the caller
	accepted                 // accepted or unknown: no finding
	dropped                  // certainly dropped
	undecided = accepted
)

// filter follows a packet through chains.
type filter struct {
	chains []host.FilterChain
	packet packet
}

// maxDepth is the limit of nested jumps, the same as in the kernel (nft(8): 16).
const maxDepth = 16

// walk returns what happens to the packet in a chain, and the text of the rule that drops it.
func (f filter) walk(c host.FilterChain, depth int) (outcome, string) {
	if depth > maxDepth {
		return undecided, ""
	}
	for i, rule := range c.Rules {
		holds := f.matches(rule)
		if holds == no {
			continue
		}
		result, text := passes, ""
		switch rule.Verdict {
		case "accept":
			return accepted, "" // at least some such packets
		case "drop", "reject":
			result, text = dropped, rule.Text
		case "return":
			if holds == maybe { // the packet returns to the caller, or goes on to the other rules
				rest := c
				rest.Rules = c.Rules[i+1:]
				if end, text := f.walk(rest, depth); end == accepted || c.Input && c.Policy == "drop" {
					return end, text
				}
				return passes, ""
			}
			return f.end(c)
		case "jump", "goto":
			at := slices.IndexFunc(f.chains, func(o host.FilterChain) bool {
				return o.Name == rule.Chain && o.Tool == c.Tool && o.Family == c.Family && o.Table == c.Table
			})
			if at < 0 {
				return undecided, ""
			}
			result, text = f.walk(f.chains[at], depth+1)
			if result == passes && rule.Verdict == "goto" && holds == yes {
				return f.end(c)
			}
		}
		switch {
		case result == accepted:
			return undecided, ""
		case result == dropped && holds == yes:
			return dropped, text
		}
	}
	return f.end(c)
}

// end returns what happens at the end of a chain if no rule has decided.
func (f filter) end(c host.FilterChain) (outcome, string) {
	if c.Input && c.Policy == "drop" {
		return dropped, "policy drop, and no rule accepts it"
	}
	return passes, ""
}

// truth is a truth value with a third value, maybe: the result depends on facts that are not known here.
type truth int

const (
	no truth = iota
	maybe
	yes
)

func (f filter) matches(rule host.FilterRule) truth {
	all := yes
	for _, m := range rule.Matches {
		all = min(all, f.match(m))
	}
	return all
}

func (f filter) match(m host.FilterMatch) truth {
	result, p := no, f.packet
	for _, value := range m.Values {
		one := maybe
		switch m.Field {
		case "interface":
			matched, _ := path.Match(value, p.iface)
			one = certain(matched)
		case "protocol":
			one = certain(value == p.proto || value == "all" || value == "6" && p.proto == "tcp" || value == "vrrp" && p.proto == "112")
		case "port":
			one = certain(p.proto == "tcp" && inRange(value, p.port))
		case "state":
			one = certain(value == "new")
			if p.reply && (value == "established" || value == "new") {
				one = maybe
			}
		case "source":
			one = p.source(value)
		}
		result = max(result, one)
	}
	if m.Field == "" {
		result = maybe
	}
	if m.Not {
		return yes - result
	}
	return result
}

func certain(is bool) truth {
	if is {
		return yes
	}
	return no
}

func inRange(value string, port int) bool {
	from, to, ranged := strings.Cut(value, "-")
	if !ranged {
		to = from
	}
	low, err1 := strconv.Atoi(from)
	high, err2 := strconv.Atoi(to)
	return err1 == nil && err2 == nil && low <= port && port <= high
}

// source says whether the packet comes from a prefix or an address.
func (p packet) source(value string) truth {
	prefix, err := netip.ParsePrefix(value)
	if addr, aerr := netip.ParseAddr(value); err != nil && aerr == nil {
		prefix, err = addr.Prefix(addr.BitLen())
	}
	switch {
	case err != nil:
		return maybe
	case prefix.Addr().Is4() != (p.family == api.IPv4):
		return no
	case p.from.IsValid():
		return certain(prefix.Contains(p.from))
	case prefix.Addr().IsLoopback():
		return no
	}
	return maybe
}

// mixedTables checks that iptables-legacy has no rules besides those in nftables.
func mixedTables(_ context.Context, e *exam) (found []Finding, note string, err error) {
	if e.chainsErr != nil {
		return nil, "", e.chainsErr
	}
	rules := 0
	for _, c := range e.chains {
		if c.Tool == "iptables-legacy" {
			rules += len(c.Rules)
		}
	}
	if rules > 0 {
		return []Finding{warningf("iptables-legacy and nftables are mixed", "iptables-legacy-save shows them: bring them over with iptables-restore-translate or by hand, then iptables-legacy -F and ip6tables-legacy -F",
			"iptables works on nftables here, and iptables-legacy has %d rules besides: both filter each packet, and iptables does not show the older ones", rules)}, "", nil
	}
	return nil, "", e.unreadChains()
}
