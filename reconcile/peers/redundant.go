package peers

import (
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// member is a host of the virtual router.
type member struct {
	name string
	role host.Role
	not  string // why the host would not serve clients; "" if it would
	dark string // why the state of the host is unknown; "" if it is known
}

// Redundant says whether another host serves after the loss of one: one host is MASTER, one is BACKUP, neither is drained,
// and HAProxy serves on both. Every host of a pair comes to the same verdict.
func (t Table) Redundant(now time.Time) Verdict {
	if !t.Alive(now) {
		return unheard
	}
	all := []member{t.Self.member("this host", t.Self.Excuse())}
	for _, p := range t.Peers {
		if p.fresh(now) || p.Goodbye {
			all = append(all, p.member(p.Node, t.notReady(p)))
		}
	}
	for _, n := range t.silentNodes(now) {
		if !slices.ContainsFunc(all[1:], func(m member) bool { return m.name == n.Name }) {
			all = append(all, member{name: n.Name, dark: t.silence([]Node{n})})
		}
	}
	switch alone := len(t.Self.Nodes) == 0 && len(all) == 1; {
	case alone && t.Self.Spec.Pair != "": // the spec's only node
		all = append(all, member{not: t.alone()})
	case alone:
		all = append(all, member{dark: t.alone()})
	}
	return t.afterPatience(judge(all), now)
}

// afterPatience returns a verdict, but with the reason Listening if the verdict is Unknown and the daemon has listened for
// less than patience. Silence proves nothing before.
func (t Table) afterPatience(v Verdict, now time.Time) Verdict {
	if v.Status == isUnknown && now.Sub(t.Since) < patience {
		return Verdict{isUnknown, Listening, "this host's agent has just begun to listen: " + v.Message}
	}
	return v
}

// NoStandby returns a text on why no host would take over from this one; "" if a standby is ready or if that is unknown.
// Without nodes, a host that hears no other host counts as alone.
func (t Table) NoStandby(now time.Time) string {
	v := t.Redundant(now)
	if lonely := t.Alive(now) && len(t.Self.Nodes) == 0 && len(t.Peers) == 0; v.Status == isFalse || lonely {
		return v.Message
	}
	return ""
}

// member returns the member that a report describes. not is why the host would not serve, or "".
func (r Report) member(name, not string) member {
	m := member{name: name, role: r.Role, not: not}
	if !slices.Contains(roles[1:], r.Role) {
		m.dark = "the role of " + name + " is not known"
	}
	return m
}

// notReady returns why a peer would not serve clients in place of this host, or "".
func (t Table) notReady(p Peer) string {
	if p.Goodbye {
		return "its agent said goodbye (stopped, or torn down)"
	}
	if why := p.Excuse(); why != "" {
		return why
	}
	if ours, theirs := t.Self.Spec.Router.Addresses, p.Spec.Router.Addresses; len(without(ours, theirs))+len(without(theirs, ours)) > 0 {
		return "it has other virtual IPs than this host"
	}
	return ""
}

// Excuse returns why a host would not serve clients according to its own report, or "".
func (r Report) Excuse() string {
	switch {
	case r.Drained:
		return "it is drained"
	case r.Role == host.RoleFault && !r.Serving:
		return "it is in FAULT, HAProxy does not serve"
	case r.Role == host.RoleFault:
		return "it is in FAULT"
	case r.Role == host.RoleStopped:
		return "keepalived does not run"
	case !r.Serving:
		return "HAProxy does not serve"
	}
	return ""
}

func judge(all []member) Verdict {
	var master, standby string
	var not, dark, able []string
	for _, m := range all {
		switch {
		case m.not != "" && m.name != "":
			not = append(not, m.name+" cannot serve: "+m.not)
		case m.not != "":
			not = append(not, m.not)
		case m.dark != "":
			dark = append(dark, m.dark)
		default:
			able = append(able, m.name)
			if m.role == host.RoleMaster && master == "" {
				master = m.name
			}
			if m.role == host.RoleBackup && standby == "" {
				standby = m.name
			}
		}
	}
	if master != "" && standby != "" {
		ready := standby + " is ready to take over from " + master
		return Verdict{isTrue, "StandbyReady", strings.Join(append([]string{ready}, not...), "; ")}
	}
	texts := append(not, dark...)
	if len(able)+len(dark) >= 2 && len(dark) > 0 {
		return Verdict{isUnknown, PeerSilent, strings.Join(texts, "; ")}
	}
	if len(able) >= 2 {
		texts = append(texts, map[bool]string{true: "more than one host is MASTER, and none is BACKUP", false: "no host is MASTER"}[master != ""])
	}
	return Verdict{isFalse, "NoStandby", strings.Join(texts, "; ")}
}
