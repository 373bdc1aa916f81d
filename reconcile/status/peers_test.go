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

// What the peers' agents say comes into the status and its text, and does not touch what this host says of itself.
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
		s = s.WithPeers(c.table, now).WithPeers(c.table, now) // and again
		last := s.Peers[len(s.Peers)-1]
		row := peerRow(last, now)
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
