package status

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/peers"
)

// Verdict is the state of the host in one sentence. The mood is Good only if everything is as it should be.
func Verdict(s Status, now time.Time) (text string, mood Mood) {
	who := cmp.Or(s.Node, s.Host, "this host")
	switch ready := s.Condition("Ready"); {
	case ready.Reason == NoSpec:
		return who + " is no load balancer yet: " + ready.Message, Plain
	case s.FirstRun != "":
		return who + " " + s.part(now) + ", the first run is under way: " + s.FirstRun, Plain
	case s.Partial:
		return who + ": run as root to see how this host is; an ordinary user sees only part of it", Plain
	}
	text = who + " " + s.part(now)
	if s.Is("Ready") {
		if c := s.Condition("Serving"); c.Reason == failOpen {
			return text + ", but " + host.Line(c.Message), Bad
		}
		if trouble := s.PairTrouble(); trouble != "" {
			return text + ", but " + trouble, Bad
		}
		return text + ": all is well", Good
	}
	but := ", but "
	if s.notYet() {
		but = ": "
	}
	return join(but, text, strings.Join(s.flaws(), "; ")), Bad
}

// notYet reports whether the host waits for its first spec to come into force and has no part in the virtual router
// yet.
func (s Status) notYet() bool {
	return s.ObservedGeneration == 0 && s.PendingSpec != nil && s.Role != host.RoleMaster && s.Role != host.RoleBackup
}

// PairTrouble is what is wrong with the pair although this host itself is well, or "". A peer with another spec comes
// first, because it causes many of the other problems. A missing standby is no problem while this host is drained.
func (s Status) PairTrouble() string {
	for _, kind := range []string{"PeerInSync", "Redundant"} {
		if c := s.Condition(kind); c.Status == isFalse && !(kind == "Redundant" && s.drainedOut()) {
			return host.Line(c.Message)
		}
	}
	if gone, all := s.gonePeers(); len(gone) > 0 {
		text := strings.Join(gone, " and ") + yes(len(gone) == 1, " is not seen", " are not seen")
		if all {
			text += ": nobody may take over from this host"
		}
		return text
	}
	if c := s.Condition("Redundant"); c.Status == isUnknown && s.listens() && !s.drainedOut() {
		return "no standby is proven: " + host.Line(c.Message)
	}
	// Of three hosts, another peer is a proven standby.
	all := s.unfitPeers()
	if c := s.Condition("PeerInSync"); c.Reason == peers.PeerSilent {
		all = append(all, host.Line(c.Message))
	}
	return strings.Join(all, "; ")
}

// unfitPeers says which peers would not serve according to their own agents.
func (s Status) unfitPeers() (all []string) {
	for _, p := range s.Peers {
		if a := p.Agent; a != nil && !a.Goodbye {
			if why := (peers.Report{Role: a.Role, Drained: a.Drained, Serving: a.Serving}).Excuse(); why != "" {
				all = append(all, p.Name+" cannot serve: "+why)
			}
		}
	}
	return all
}

// listens reports whether the daemon has listened to the peers' agents long enough to have heard each that runs.
func (s Status) listens() bool {
	reason := s.Condition("Redundant").Reason
	return reason != "" && reason != peers.AgentNotRunning && reason != peers.Listening
}

// gonePeers are the peers that do not answer; all says whether no peer is left.
func (s Status) gonePeers() (gone []string, all bool) {
	for _, p := range s.Peers {
		if p.State == PeerNotSeen {
			gone = append(gone, p.Name)
		}
	}
	return gone, len(gone) == len(s.Peers)
}

// part is the part of this host in the pair.
func (s Status) part(now time.Time) string {
	serving := s.Is("Serving")
	switch {
	case s.notYet():
		return "is no load balancer yet"
	case s.drainedOut():
		return "is drained" + s.drainedText(now)
	case s.Role == host.RoleMaster && serving:
		return "is MASTER and serves"
	case s.Role == host.RoleBackup && serving:
		return "is BACKUP, ready to take over"
	case s.Role == host.RoleFault:
		return "is in FAULT"
	case s.Role == host.RoleStopped:
		return "is out of the virtual router: keepalived does not run"
	case s.Role == host.RoleUnknown || s.Role == "":
		return "has an unknown role"
	}
	return "is " + string(s.Role)
}

// flaws are the things that are wrong with this host, the most urgent first.
func (s Status) flaws() (all []string) {
	if c := s.Condition("Serving"); c.Status == isFalse && !s.notYet() {
		all = append(all, c.Message)
	}
	switch p := s.PendingSpec; {
	case p != nil && p.Refused:
		all = append(all, fmt.Sprintf("generation %d of the spec is REFUSED", p.Generation))
	case s.Trial != nil:
		all = append(all, "a spec is only tried")
	case p != nil:
		all = append(all, fmt.Sprintf("generation %d of the spec is not applied yet", p.Generation))
	}
	if c := s.Condition("AgentRunning"); c.Status == isFalse {
		all = append(all, "rlb-agent does not run")
	}
	if c := s.Condition("InSync"); c.Status == isFalse && s.Trial == nil && s.PendingSpec == nil {
		all = append(all, "it differs from its spec: "+host.Line(c.Message))
	}
	if c := s.Condition("Ready"); len(all) == 0 {
		all = append(all, cmp.Or(host.Line(c.Message), "not all of it can be seen"))
	}
	return all
}

// drainedOut reports whether the host is drained and outside the virtual router.
func (s Status) drainedOut() bool {
	return s.Drained && s.Role != host.RoleMaster && s.Role != host.RoleBackup
}

// drainedText is " since 14:02:10 by root", with the parts that are known.
func (s Status) drainedText(now time.Time) string {
	text := ""
	if since := s.DrainedSince; !since.IsZero() {
		text = " since " + clock(since, now)
	}
	if s.DrainedBy != "" {
		text += " by " + s.DrainedBy
	}
	return text
}

// clock is the time of day, with the date if it is not today.
func clock(at, now time.Time) string {
	if at.Local().Format(time.DateOnly) == now.Local().Format(time.DateOnly) {
		return at.Local().Format(time.TimeOnly)
	}
	return at.Local().Format(time.DateTime)
}
