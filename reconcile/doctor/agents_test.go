package doctor

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	agents "rlb.dev/rlb-agent/reconcile/peers"
	"rlb.dev/rlb-agent/reconcile/state"
)

// TestPeerAgents: a report of the peer's agent that differs from this host's state leads to a finding.
func TestPeerAgents(t *testing.T) {
	doc, err := api.Parse("/etc/rlb/spec.yaml", []byte(spec))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		breaks func(*agents.Table)
		title  string // "" for none
		says   string
		fix    string
	}{
		{"well", func(*agents.Table) {}, "", "", ""},
		{"the daemon does not run", func(t *agents.Table) { t.Peers, t.Written = nil, now.Add(-time.Hour) }, "", "", ""},
		{"other version", func(t *agents.Table) { t.Peers[0].Agent = "v2" }, "lb2 runs another version of rlb-agent", "lb2 runs v2, this host v1", "same version"},
		{"other spec", func(t *agents.Table) { t.Peers[0].Spec.Digest = strings.Repeat("b", 64) }, "the specs of the hosts differ", "lb2 has another spec in force", "rlb-agent push"},
		{"drained", func(t *agents.Table) { t.Peers[0].Drained = true }, "lb2 is drained", "cannot take over", "rlb-agent undrain on lb2"},
		{"goodbye", func(t *agents.Table) { t.Peers[0].Goodbye = true }, "the agent of lb2 was stopped", "said goodbye at", "systemctl start rlb-agent"},
		{"silent", func(t *agents.Table) { t.Peers = nil }, "no agent of a peer is heard", "lb2 runs no agent that is heard here", "0x88b5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			self := agents.SelfOf(&doc.Spec, "lb1")
			self.Agent, self.Role, self.Serving, self.Spec.Digest = "v1", host.RoleBackup, true, strings.Repeat("a", 64)
			peer := agents.SelfOf(&doc.Spec, "lb2").Report
			peer.Agent, peer.Role, peer.Serving, peer.Spec.Digest = "v1", host.RoleMaster, true, self.Spec.Digest
			table := agents.Table{Self: self, Peers: []agents.Peer{{Report: peer, MAC: peerMAC, Heard: now.Add(-time.Second)}}}.Mark(now)
			c.breaks(&table)
			m := healthy(t)
			data, err := json.Marshal(table)
			if err != nil {
				t.Fatal(err)
			}
			m.files[state.PeersFile] = string(data)
			r := m.examine(t)
			if c.title == "" {
				if len(r.Findings) > 0 {
					t.Errorf("found:\n%s", text(r))
				}
				return
			}
			if len(r.Findings) != 1 {
				t.Fatalf("%d findings:\n%s", len(r.Findings), text(r))
			}
			if f := r.Findings[0]; f.Check != "peer-agent" || f.Title != c.title || !strings.Contains(f.Message, c.says) || !strings.Contains(f.Fix, c.fix) {
				t.Errorf("found:\n%s", text(r))
			}
		})
	}
}
