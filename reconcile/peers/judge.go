package peers

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
)

// Verdict is a condition without its times. Status is True, False or Unknown.
type Verdict struct {
	Status, Reason, Message string
}

const (
	isTrue    = "True"
	isFalse   = "False"
	isUnknown = "Unknown"
)

// Reasons for the status Unknown.
const (
	AgentNotRunning = "AgentNotRunning" // the daemon does not run on this host
	Listening       = "Listening"       // the daemon has just begun to listen
	PeerSilent      = "PeerSilent"      // no reports of a node's agent arrive
)

// unheard is the verdict if the daemon does not run on this host.
var unheard = Verdict{isUnknown, AgentNotRunning, "the daemon does not run here, so that nothing is heard of a peer"}

// InSync says whether all peers have the same spec in force. For a peer whose agent is not heard, its advertisements count.
func (t Table) InSync(now time.Time) Verdict {
	if !t.Alive(now) {
		return unheard
	}
	var differ []string
	heard := 0
	for _, p := range t.Peers {
		if p.fresh(now) {
			heard++
			differ = append(differ, t.Self.differences(p.Report)...)
		}
	}
	for _, a := range t.Adverts {
		if !t.covered(a, now) && now.Sub(a.Heard) <= Life {
			differ = append(differ, t.Self.advertised(a)...)
		}
	}
	silent := t.silentNodes(now)
	slices.Sort(differ)
	differ = slices.Compact(differ)
	switch {
	case len(differ) > 0:
		return Verdict{isFalse, "SpecDiffers", strings.Join(differ, "; ") + remedy(differ)}
	case len(silent) > 0:
		return t.afterPatience(Verdict{isUnknown, PeerSilent, t.silence(silent)}, now)
	case heard == 0:
		return Verdict{isUnknown, "NoPeer", t.alone()}
	}
	return Verdict{isTrue, "SameSpec", ""}
}

// alone says why no peer is known.
func (t Table) alone() string {
	if t.Self.Spec.Pair != "" {
		return "the spec names no other node"
	}
	return "no other host runs an agent for these virtual IPs"
}

// GoodbyeText says in a sentence when the agent of a peer said goodbye, in local time.
func (p Peer) GoodbyeText() string {
	return fmt.Sprintf("the agent of %s said goodbye at %s (stopped, or torn down)", p.Node, p.Heard.Local().Format(time.TimeOnly))
}

// silence says why these nodes are not heard. It is the same text as long as nothing new is heard: each change is logged.
func (t Table) silence(nodes []Node) string {
	var texts, never []string
	for _, n := range nodes {
		at := slices.IndexFunc(t.Peers, func(p Peer) bool { return p.Node == n.Name && p.Goodbye })
		if at < 0 {
			never = append(never, n.Name)
			continue
		}
		texts = append(texts, t.Peers[at].GoodbyeText())
	}
	if len(never) > 0 {
		texts = append(texts, fmt.Sprintf("%s runs no agent that is heard here (nothing came in the last %v)", strings.Join(never, ", "), Life))
	}
	return strings.Join(texts, "; ")
}

// silentNodes returns the other nodes of the spec whose agents are not heard.
func (t Table) silentNodes(now time.Time) (silent []Node) {
	for _, n := range t.Self.Nodes {
		if !slices.ContainsFunc(t.Peers, func(p Peer) bool { return p.Node == n.Name && p.fresh(now) }) {
			silent = append(silent, n)
		}
	}
	return silent
}

// covered says whether the agent of the advertising host is heard. Its report is more exact than the advertisement.
func (t Table) covered(a Advert, now time.Time) bool {
	name := t.Self.nodeOf(a.From)
	return slices.ContainsFunc(t.Peers, func(p Peer) bool { return p.fresh(now) && (name != "" && p.Node == name || p.MAC == a.MAC) })
}

// trialText marks a difference that a trial explains. Such a difference has no remedy.
const trialText = "tries another spec"

func remedy(differ []string) string {
	if slices.ContainsFunc(differ, func(text string) bool { return !strings.Contains(text, trialText) }) {
		return ": rlb-agent push or copy the spec"
	}
	return ""
}

// differences returns the differences between this host's spec and a peer's. It names the virtual router's differences if
// there are any, and the file otherwise. Two files with the same bytes never differ, although the priorities of the hosts do.
func (s Self) differences(p Report) []string {
	ours, theirs := s.Spec, p.Spec
	switch {
	case ours.Digest == theirs.Digest:
		return nil
	case theirs.Trial:
		return []string{p.Node + " " + trialText}
	case ours.Trial:
		return []string{"this host " + trialText + " than " + p.Node}
	}
	expected := ours.Router
	if n, known := s.node(p.Node); known {
		expected.Priority = n.Priority
	}
	if all := expected.differences(p.Node, "has", theirs.Router); len(all) > 0 {
		return all
	}
	return []string{fmt.Sprintf("%s has another spec in force, generation %d (sha256:%.12s), this host has generation %d (sha256:%.12s)",
		p.Node, theirs.Generation, theirs.Digest, ours.Generation, ours.Digest)}
}

// advertised returns the differences between this host's spec and an advertisement. An advertisement has addresses of one
// family only.
func (s Self) advertised(a Advert) []string {
	name := s.nodeOf(a.From)
	if name == "" && len(s.Nodes) == 1 {
		name = s.Nodes[0].Name // an IPv6 router sends from a link-local address, which the spec does not contain
	}
	family := api.FamilyOf(a.From)
	expected := s.Spec.Router
	expected.Addresses = slices.DeleteFunc(slices.Clone(expected.Addresses), func(addr netip.Addr) bool { return api.FamilyOf(addr) != family })
	if family == api.IPv6 {
		expected.Version = 3
	}
	if n, known := s.node(name); known {
		expected.Priority = n.Priority
	}
	if name == "" {
		name = "the host with " + a.From.String()
	}
	return expected.differences(name, "advertises", a.Router)
}

// differences returns the differences of another router from this one.
func (r Router) differences(name, has string, other Router) (all []string) {
	missing, surplus := without(r.Addresses, other.Addresses), without(other.Addresses, r.Addresses)
	compare := func(what string, theirs, ours any) {
		if theirs != ours {
			all = append(all, fmt.Sprintf("%s %s %s %v, this spec has %v", name, has, what, theirs, ours))
		}
	}
	if len(missing)+len(surplus) > 0 {
		text := fmt.Sprintf("%s %s %s, this spec has %d", name, has, count(len(other.Addresses)), len(r.Addresses))
		if len(missing) > 0 {
			text += fmt.Sprintf(" (missing there: %s)", host.Join(missing, ", "))
		}
		if len(surplus) > 0 {
			text += fmt.Sprintf(" (missing here: %s)", host.Join(surplus, ", "))
		}
		all = append(all, text)
	}
	compare("router id", other.ID, r.ID)
	compare("VRRP version", other.Version, r.Version)
	compare("the interval", other.Interval, r.Interval)
	compare("priority", other.Priority, r.Priority)
	return all
}

// without returns the addresses of addrs that are not in others.
func without(addrs, others []netip.Addr) (all []netip.Addr) {
	for _, addr := range addrs {
		if !slices.Contains(others, addr) {
			all = append(all, addr)
		}
	}
	return all
}

func count(n int) string {
	if n == 1 {
		return "1 address"
	}
	return fmt.Sprintf("%d addresses", n)
}
