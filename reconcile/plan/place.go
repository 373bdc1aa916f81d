package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
	"rlb.dev/rlb-agent/render/vrrp"
)

// Place is what a host is in its pair, as far as it is known: what a step costs clients follows from it.
type Place struct {
	Role    host.Role
	Peers   []string      // names of the spec's other nodes
	Alone   string        // why no other host would take over; "" where one would, or nobody knows
	Doubt   string        // why nobody knows whether another host is ready to take over; "" for no doubt, and where this host is not MASTER
	Goodbye time.Duration // about how long nobody answers when keepalived hands the virtual IPs over; 0 is not known
	Sick    time.Duration // the same where HAProxy stops
	Back    bool          // the virtual IPs come back when this host is ready again
	Open    bool          // nobody knows whether they come back
	Blind   bool          // a restart of HAProxy is over before keepalived's check sees it
	Linger  time.Duration // how long the former HAProxy may live after a reload; 0 is until its connections have ended

	left bool // keepalived has stopped before this step
}

// settled is what a move takes besides the waiting of VRRP: measured, the failover page has it.
const settled = 10 * time.Millisecond

// PlaceOf is the place of a node, "" without nodes, whose keepalived has that role.
func PlaceOf(spec *api.LoadBalancerSpec, node string, role host.Role) Place {
	goodbye := vrrp.SkewTime(spec) + settled
	at := Place{Role: role, Goodbye: goodbye, Sick: goodbye}
	if !render.TracksFiles(spec) { // only keepalived's own check sees HAProxy stop
		at.Sick += spec.VRRP.Check.Interval.D() * time.Duration(*spec.VRRP.Check.Fall)
		at.Blind = true
	}
	if spec.Proxy.HardStopAfter != nil {
		at.Linger = spec.Proxy.HardStopAfter.D()
	}
	own, best := 0, 0
	for _, n := range spec.Nodes {
		if n.Name == node {
			own = spec.PriorityOf(n)
			continue
		}
		best = max(best, spec.PriorityOf(n))
		at.Peers = append(at.Peers, n.Name)
	}
	at.Back = *spec.VRRP.Preempt && own > best && len(at.Peers) > 0
	at.Open = *spec.VRRP.Preempt && len(at.Peers) == 0
	return at
}

// out is the role of a host that holds no virtual IP, or "". One whose keepalived is stopped may serve clients: before the
// first run, and before systemd starts it again.
func (at Place) out() string {
	return map[host.Role]string{host.RoleBackup: "BACKUP", host.RoleFault: "in FAULT"}[at.Role]
}

// heirs are who may take over.
func (at Place) heirs() string {
	if len(at.Peers) == 0 {
		return "another host"
	}
	return strings.Join(at.Peers, " or ")
}

// moves says where the virtual IPs of a MASTER go, how long nobody answers meanwhile, and whether they come back.
func (at Place) moves(gap time.Duration) string {
	if at.Alone != "" {
		return "no other host takes the virtual IPs over: " + at.Alone
	}
	text := "the virtual IPs move to " + at.heirs()
	if gap > 0 {
		text += " within about " + about(gap)
	}
	switch {
	case at.Back:
		text += ", and come back when this host is ready again (vrrp.preempt)"
	case !at.Open:
		text += ", and stay there"
	}
	if at.Doubt != "" {
		text += " (whether " + at.heirs() + " is ready is not known: " + at.Doubt + ")"
	}
	return text
}

// about is a time in words, as exact as it is known.
func about(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Round(10*time.Millisecond).Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// Beside is what clients notice of each step and how long it may take, for the dry run; "" where there is nothing to say.
func Beside(steps []Step, at Place) []string {
	all := make([]string, len(steps))
	for i, s := range steps {
		all[i] = at.beside(s)
		if s.Object == host.KeepalivedUnit && slices.Contains(stops, s.Verb) {
			at.left = true
		}
	}
	return all
}

// stops are the verbs that end a program.
var stops = []string{"stop", verbRestart}

func (at Place) beside(s Step) string {
	is := func(unit string, verbs ...string) bool { return s.Object == unit && slices.Contains(verbs, s.Verb) }
	switch {
	case is(host.HAProxyUnit, verbRestart) && at.Blind && at.out() == "":
		return "the connections through this HAProxy end"
	case is(host.HAProxyUnit, stops...):
		return at.stops(at.Sick, "the connections through this HAProxy end")
	case is(host.KeepalivedUnit, stops...):
		return at.stops(at.Goodbye, "")
	case is(host.KeepalivedUnit, "start"):
		return "this host joins the virtual router as BACKUP, and takes the virtual IPs if nobody holds them"
	case is(host.HAProxyUnit, verbReload):
		text := "no connection is cut: the former process serves those that it has until they end"
		if at.Linger > 0 {
			text += fmt.Sprintf(", for %v at most (proxy.hardStopAfter)", at.Linger)
		}
		return text
	case is(host.KeepalivedUnit, verbReload):
		return "keepalived keeps its role while it reads its file"
	case s.Verb == verbReload || s.Verb == "set":
		return "no connection is cut"
	case s.Verb == verbLeave:
		return at.leaves()
	case s.Verb == "install" || s.Verb == "purge":
		return "this may take minutes"
	}
	return ""
}

// leaves says what it costs to leave the virtual router for another one: on a standby nothing, on the active host one
// failover, and one more with each peer that is still in the former one.
func (at Place) leaves() string {
	at.Open = true // where the virtual IPs go in the end depends on the peers
	switch {
	case at.out() != "":
		return at.stops(0, "") + "; it stays out until every peer is changed too"
	case at.Alone != "":
		return at.stops(0, "")
	}
	return at.stops(0, "each peer that is changed after this host may move them once more")
}

// stops says what a stop of a program costs; also is what else comes with it.
func (at Place) stops(gap time.Duration, also string) string {
	text := ""
	switch {
	case at.out() != "":
		return "no client notices it: this host is " + at.out()
	case at.left && also != "":
		return also
	case at.Role == host.RoleMaster:
		text = at.moves(gap)
	default:
		text = "if this host holds the virtual IPs, they move to " + at.heirs()
	}
	return text + strings.TrimSuffix("; "+also, "; ")
}
