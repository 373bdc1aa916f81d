package status

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/peers"
)

// TestWithPeers: the reports of the peers' agents appear in the status and in its text. They change nothing else in the
// status.
func TestWithPeers(t *testing.T) {
	spec := peers.Spec{Digest: strings.Repeat("ab", 32), Generation: 4, Router: peers.Router{ID: 100, Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.100")}}}
	said := func(node string, change func(*peers.Report)) peers.Report {
		r := peers.Report{Node: node, Agent: "v1", Role: host.RoleBackup, Serving: true, Spec: spec}
		change(&r)
		return r
	}
	same := func(*peers.Report) {}
	table := func(r peers.Report, nodes ...peers.Node) peers.Table {
		var all peers.Table
		all.SetSelf(peers.Self{Report: said("lb1", same), Nodes: nodes})
		all.Hear("02:00:00:00:00:0c", r, now.Add(-3*time.Second))
		return all.Mark(now)
	}
	lb2 := peers.Node{Name: "lb2", Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.12")}}
	for name, c := range map[string]struct {
		table peers.Table
		want  string // PeerInSync, Redundant, and the peer's row
	}{
		"nobody listens": {peers.Table{}, "Unknown Unknown lb2 198.51.100.12 not seen"},
		"a standby":      {table(said("lb2", same), lb2), "True True lb2 198.51.100.12 seen; its agent says BACKUP, 3s ago"},
		"drained": {table(said("lb2", func(r *peers.Report) { r.Role, r.Drained, r.Serving = host.RoleFault, true, false }), lb2),
			"True False lb2 198.51.100.12 seen; its agent says FAULT, drained, HAProxy does not serve, 3s ago"},
		"goodbye":  {table(said("lb2", func(r *peers.Report) { r.Goodbye = true }), lb2), "Unknown False lb2 198.51.100.12 not seen; its agent stopped 3s ago"},
		"no nodes": {table(said("other", same)), "True True other 02:00:00:00:00:0c seen; its agent says BACKUP, 3s ago"},
	} {
		s := example(t)
		s.Services[0].Listening = true
		if name == "no nodes" {
			s.Peers = nil
		}
		s = s.WithPeers(c.table, now).WithPeers(c.table, now) // a second time changes nothing
		last := s.Peers[len(s.Peers)-1]
		row := peerRow(last, s.listens(), now)
		got := strings.Join([]string{s.Condition("PeerInSync").Status, s.Condition("Redundant").Status, row.Cells[0], row.Cells[1], row.Text}, " ")
		if got != c.want || len(s.Peers) != 1 {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
		before := example(t)
		if ready := s.ready(); ready.Message != before.ready().Message || ready.Status != "False" {
			t.Errorf("%s: it changes Ready: %+v", name, ready)
		}
		if text := Text(ConditionRows(s, now), 0); !strings.Contains(text, "PeerInSync") || !strings.Contains(text, "Redundant") {
			t.Errorf("%s: %s", name, text)
		}
		redundant := s.Condition("Redundant")
		told := strings.Contains(Text(Rows(s, now), 0), redundant.Message)
		s.Conditions[slices.IndexFunc(s.Conditions, func(c Condition) bool { return c.Type == "Ready" })].Status = isTrue
		verdict, mood := Verdict(s, now)
		alone := redundant.Status == isFalse
		if bad := alone || name == "nobody listens"; told != alone || bad != (mood == Bad) || strings.Contains(verdict, "all is well") == bad {
			t.Errorf("%s: the problem is told: %t, and the verdict is %q", name, told, verdict)
		}
	}
}

// TestNoStandbyProven: an answer by ARP does not prove a standby. If the daemon listens and hears no agent, the verdict
// and the peer's row say so.
func TestNoStandbyProven(t *testing.T) {
	const silent = "lb2 runs no agent that is heard here (nothing came in the last 30s)"
	spec := peers.Spec{Digest: strings.Repeat("ab", 32), Generation: 4, Pair: strings.Repeat("cd", 32)}
	listening := func(since time.Duration) peers.Table {
		return peers.Table{Since: now.Add(-since), Self: peers.Self{Report: peers.Report{Node: "lb1", Spec: spec},
			Nodes: []peers.Node{{Name: "lb2", Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.12")}}}}}.Mark(now)
	}
	three := func(since time.Duration) peers.Table { // lb2 is heard, lb3 is not
		all := listening(since)
		all.Self.Nodes = append(all.Self.Nodes, peers.Node{Name: "lb3", Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.13")}})
		all.Hear("02:00:00:00:00:0c", peers.Report{Node: "lb2", Role: host.RoleBackup, Serving: true, Spec: spec}, now)
		return all
	}
	third := func(node string, change func(*peers.Report)) peers.Table { // lb2 is a standby, lb3 says something else
		all := three(10 * time.Second)
		r := peers.Report{Node: node, Role: host.RoleBackup, Serving: true, Spec: spec}
		change(&r)
		all.Hear("02:00:00:00:00:0d", r, now)
		return all
	}
	threeNoNodes := third("lb3", func(r *peers.Report) { r.Role = host.RoleFault })
	threeNoNodes.Self.Nodes = nil
	noNodes := listening(time.Minute)
	noNodes.Self.Nodes, noNodes.Self.Spec.Pair = nil, ""
	for name, c := range map[string]struct {
		table   peers.Table
		drained bool
		verdict string
		row     string
		mood    Mood
	}{
		"once only":           {peers.Table{}, false, "lb1 is MASTER and serves: all is well", "seen", Good},
		"just started":        {listening(9 * time.Second), false, "lb1 is MASTER and serves: all is well", "seen", Good},
		"silence":             {listening(10 * time.Second), false, "lb1 is MASTER and serves, but no standby is proven: " + silent, "seen; no agent is heard there", Bad},
		"no nodes":            {noNodes, false, "lb1 is MASTER and serves, but no standby is proven: no other host runs an agent for these virtual IPs", "", Bad},
		"drained":             {listening(time.Minute), true, "lb1 is drained, but " + silent, "seen; no agent is heard there", Bad},
		"one of three":        {three(10 * time.Second), false, "lb1 is MASTER and serves, but lb3" + silent[len("lb2"):], "seen; its agent says BACKUP, 0s ago", Bad},
		"three, just started": {three(9 * time.Second), false, "lb1 is MASTER and serves: all is well", "seen; its agent says BACKUP, 0s ago", Good},
		"three are well":      {third("lb3", func(*peers.Report) {}), false, "lb1 is MASTER and serves: all is well", "seen; its agent says BACKUP, 0s ago", Good},
		"FAULT": {third("lb3", func(r *peers.Report) { r.Role = host.RoleFault }), false,
			"lb1 is MASTER and serves, but lb3 cannot serve: it is in FAULT", "seen; its agent says BACKUP, 0s ago", Bad},
		"FAULT, and why": {third("lb3", func(r *peers.Report) { r.Role, r.Serving = host.RoleFault, false }), false,
			"lb1 is MASTER and serves, but lb3 cannot serve: it is in FAULT, HAProxy does not serve", "seen; its agent says BACKUP, 0s ago", Bad},
		"the third stopped": {third("lb3", func(r *peers.Report) { r.Role = host.RoleStopped }), false,
			"lb1 is MASTER and serves, but lb3 cannot serve: keepalived does not run", "seen; its agent says BACKUP, 0s ago", Bad},
		"the third drained": {third("lb3", func(r *peers.Report) { r.Role, r.Drained = host.RoleFault, true }), false,
			"lb1 is MASTER and serves, but lb3 cannot serve: it is drained", "seen; its agent says BACKUP, 0s ago", Bad},
		"the third is gone": {third("lb3", func(r *peers.Report) { r.Goodbye = true }), false,
			"lb1 is MASTER and serves, but the agent of lb3 said goodbye at " + now.Local().Format(time.TimeOnly) + " (stopped, or torn down)", "seen; its agent says BACKUP, 0s ago", Bad},
		"drained, FAULT": {third("lb3", func(r *peers.Report) { r.Role = host.RoleFault }), true,
			"lb1 is drained, but lb3 cannot serve: it is in FAULT", "seen; its agent says BACKUP, 0s ago", Bad},
		"no nodes, FAULT": {threeNoNodes, false, "lb1 is MASTER and serves, but lb3 cannot serve: it is in FAULT", "", Bad},
	} {
		s := Status{Node: "lb1", Role: host.RoleMaster, Drained: c.drained, HAProxy: &HAProxy{State: host.HAProxyAnswers}, ObservedGeneration: 4,
			Conditions: []Condition{{Type: "Ready", Status: isTrue}, {Type: "Serving", Status: isTrue}}}
		if c.drained {
			s.Role = host.RoleFault
		}
		if c.row != "" {
			s.Peers = []Peer{{Name: "lb2", Address: "198.51.100.12", State: PeerSeen}}
		}
		s = s.WithPeers(c.table, now)
		if verdict, mood := Verdict(s, now); verdict != c.verdict || mood != c.mood {
			t.Errorf("%s: %s %q, want %s %q", name, mood, verdict, c.mood, c.verdict)
		}
		if c.row == "" {
			continue
		}
		r := peerRow(s.Peers[0], s.listens(), now)
		if r.Text != c.row || (r.Mood == Bad) != strings.Contains(c.row, "no agent") {
			t.Errorf("%s: the peer's row is %s %q, want %q", name, r.Mood, r.Text, c.row)
		}
	}
}
