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

// Place describes the position of a host in its pair, as far as it is known. The effect of a step on clients depends on it.
type Place struct {
	Role        host.Role
	Peers       []string      // names of the other nodes of the spec
	Alone       string        // why no other host would take over; "" if one would, or if it is not known
	Doubt       string        // why it is not known whether another host is ready to take over; "" if it is known, and if this host is not MASTER
	HandoverGap time.Duration // approximate time without a holder when keepalived hands over the virtual IPs; 0 if not known
	FailoverGap time.Duration // the same when HAProxy stops
	Back        bool          // the virtual IPs come back when this host is ready again
	Open        bool          // it is not known whether they come back
	Unnoticed   bool          // a restart of HAProxy ends before keepalived's check notices it
	OldProcess  time.Duration // how long the former HAProxy process may live after a reload; 0: until its connections have ended

	left bool // keepalived has stopped before this step
}

// settled is the duration of a move in addition to the waiting times of VRRP, as measured (see the failover page).
const settled = 10 * time.Millisecond

// PlaceOf is the place of the node with this name ("" without nodes) whose keepalived has this role.
func PlaceOf(spec *api.LoadBalancerSpec, node string, role host.Role) Place {
	goodbye := vrrp.SkewTime(spec) + settled
	at := Place{Role: role, HandoverGap: goodbye, FailoverGap: goodbye}
	if !render.TracksFiles(spec) { // only keepalived's own check notices that HAProxy stopped
		at.FailoverGap += spec.VRRP.Check.Interval.D() * time.Duration(*spec.VRRP.Check.Fall)
		at.Unnoticed = true
	}
	if spec.Proxy.HardStopAfter != nil {
		at.OldProcess = spec.Proxy.HardStopAfter.D()
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

// out is the role of a host that holds no virtual IP, or "". A host whose keepalived is stopped may serve clients, before
// the first run and before systemd starts keepalived again; so its result is "".
func (at Place) out() string {
	return map[host.Role]string{host.RoleBackup: "BACKUP", host.RoleFault: "in FAULT"}[at.Role]
}

// otherHosts names the hosts of the pair that may take over.
func (at Place) otherHosts() string {
	if len(at.Peers) == 0 {
		return "another host"
	}
	return strings.Join(at.Peers, " or ")
}

// moves says where the virtual IPs of a MASTER go, how long no host answers meanwhile, and whether the virtual IPs come
// back.
func (at Place) moves(gap time.Duration) string {
	if at.Alone != "" {
		return "no other host takes the virtual IPs over: " + at.Alone
	}
	text := "the virtual IPs move to " + at.otherHosts()
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
		text += " (it is not known whether " + at.otherHosts() + " is ready: " + at.Doubt + ")"
	}
	return text
}

// about is a duration in words, rounded to the precision with which it is known.
func about(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Round(10*time.Millisecond).Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// Beside says for each step what clients notice and how long it may take, for the dry run; "" if there is nothing to say.
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
	case is(host.HAProxyUnit, verbRestart) && at.Unnoticed && at.out() == "":
		return "the connections through this HAProxy end"
	case is(host.HAProxyUnit, stops...):
		return at.stops(at.FailoverGap, "the connections through this HAProxy end")
	case is(host.KeepalivedUnit, stops...):
		return at.stops(at.HandoverGap, "")
	case is(host.KeepalivedUnit, "start"):
		return "this host joins the virtual router as BACKUP, and takes the virtual IPs if nobody holds them"
	case is(host.HAProxyUnit, verbReload):
		text := "no connection is cut: the old process serves its connections until they end"
		if at.OldProcess > 0 {
			text += fmt.Sprintf(", for %v at most (proxy.hardStopAfter)", at.OldProcess)
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

// leaves says the effect on clients when this host leaves its virtual router for another one. On a standby there is none.
// On the active host it is one failover, and one more for each peer that is still in the former router.
func (at Place) leaves() string {
	at.Open = true // the final holder of the virtual IPs depends on the peers
	switch {
	case at.out() != "":
		return at.stops(0, "") + "; it does not join the virtual router until every peer is changed too"
	case at.Alone != "":
		return at.stops(0, "")
	}
	return at.stops(0, "each peer that is changed after this host may move them again")
}

// stops says the effect on clients when a program stops; also is a further effect.
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
		text = "if this host holds the virtual IPs, they move to " + at.otherHosts()
	}
	return text + strings.TrimSuffix("; "+also, "; ")
}
