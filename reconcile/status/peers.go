package status

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/peers"
	"rlb.dev/rlb-agent/reconcile/state"
)

// PeerAgent is what the agent of a peer reports about its host. The report is not authenticated.
type PeerAgent struct {
	Version    string    `json:"version,omitempty"`
	MAC        string    `json:"mac"`               // source of its frames
	Heard      time.Time `json:"heard"`             // time of its last message
	Goodbye    bool      `json:"goodbye,omitempty"` // it stopped; the other fields are from before
	Role       host.Role `json:"role"`
	RoleSince  time.Time `json:"roleSince,omitzero"` // absent if it has had this role since it was first heard
	Drained    bool      `json:"drained"`
	Serving    bool      `json:"serving"` // HAProxy answers and listens for every service
	Generation int       `json:"generation"`
	SpecDigest string    `json:"specDigest,omitempty"` // of the spec in force on the peer
	Draining   *Draining `json:"draining,omitempty"`
}

// table is the daemon's record of its peers, read once.
func (r *reading) table(ctx context.Context) peers.Table {
	if r.heard == nil {
		table, err := state.ReadPeers(ctx, r.o)
		r.note("what the peers' agents say", err)
		r.heard = &table
	}
	return *r.heard
}

// FillReport fills in the state of this host that its agent sends to the peers.
func (s Status) FillReport(r *peers.Report) {
	r.Role, r.Drained = s.Role, s.Drained
	r.Serving = s.HAProxy != nil && (s.HAProxy.State == host.HAProxyAnswers || s.HAProxy.State == host.HAProxyFull) &&
		!slices.ContainsFunc(s.Services, func(service Service) bool { return !service.Listening })
}

// WithPeers is the status with the reports of the peers' agents from the table.
func (s Status) WithPeers(table peers.Table, now time.Time) Status {
	r := reading{last: s, now: now.Truncate(time.Second)}
	s.Conditions, s.Peers = slices.Clone(s.Conditions), slices.Clone(s.Peers)
	r.agents(&s, table, now)
	return s
}

// agents adds the reports of the peers' agents to the status. It runs after this host has described itself. Ready does
// not depend on it: the reports are not authenticated, and a host with a broken peer is itself well.
func (r *reading) agents(s *Status, table peers.Table, now time.Time) {
	s.FillReport(&table.Self.Report)
	s.set(r, condition("PeerInSync", table.InSync(now)))
	s.set(r, condition("Redundant", table.Redundant(now)))
	s.Peers = slices.DeleteFunc(s.Peers, func(p Peer) bool { return p.Address == "" })
	for i := range s.Peers {
		s.Peers[i].Agent = nil
	}
	if !table.Alive(now) {
		return
	}
	for _, p := range table.Peers {
		agent := &PeerAgent{p.Agent, p.MAC, p.Heard.Truncate(time.Second), p.Goodbye, p.Role, p.Since.Truncate(time.Second), p.Drained, p.Serving, p.Spec.Generation, p.Spec.Digest, nil}
		if d := p.Drains; d != nil && !p.Goodbye {
			agent.Draining = &Draining{d.Connections, p.Heard.Add(d.Remaining).Truncate(time.Second)}
		}
		at := slices.IndexFunc(s.Peers, func(known Peer) bool { return known.Address != "" && known.Name == p.Node })
		if at < 0 { // the spec has no nodes
			s.Peers = append(s.Peers, Peer{Name: p.Node, State: PeerUnknown})
			at = len(s.Peers) - 1
		}
		if s.Peers[at].Agent = agent; table.Fresh(p.Node, now) {
			s.Peers[at].State = PeerSeen
		}
	}
}

func condition(kind string, v peers.Verdict) Condition {
	return Condition{Type: kind, Status: v.Status, Reason: v.Reason, Message: v.Message}
}

// peers looks for the other nodes of the spec. A node whose agent is heard runs. A backup in a pair hears the
// advertisements of the other node, because it would otherwise be master. A backup sends no advertisements; so any
// other host asks by ARP or neighbour solicitations whether the addresses answer.
func (r *reading) peers(ctx context.Context, s *Status) {
	table := r.table(ctx)
	var asked []netip.Addr
	for _, node := range r.spec.Nodes {
		if node.Name == s.Node {
			continue
		}
		peer := Peer{Name: node.Name, Address: node.Addresses[0], State: PeerUnknown}
		if table.Fresh(node.Name, r.now) || s.Role == host.RoleBackup && len(r.spec.Nodes) == 2 {
			peer.State = PeerSeen
		} else if addr, err := netip.ParseAddr(peer.Address); err == nil {
			asked = append(asked, addr)
		}
		s.Peers = append(s.Peers, peer)
	}
	iface := r.look.Desired.Facts.Interface
	if len(asked) == 0 || iface == "" {
		return
	}
	answers, err := r.o.Neighbours(ctx, iface, asked)
	if err != nil {
		r.note("the peers", err)
		return
	}
	for i := range s.Peers {
		if s.Peers[i].State != PeerUnknown {
			continue
		}
		s.Peers[i].State = PeerNotSeen
		if addr, err := netip.ParseAddr(s.Peers[i].Address); err == nil && answers[addr] != "" {
			s.Peers[i].State = PeerSeen
		}
	}
}

// peerRow describes a peer. listens: this host has listened long enough, so that hearing no agent means something.
func peerRow(p Peer, listens bool, now time.Time) Row {
	words := map[PeerState]string{PeerSeen: "seen", PeerNotSeen: "not seen"}[p.State]
	if words == "" {
		words = "unknown"
	}
	r := Row{Label: "Peer", Cells: []string{p.Name, p.Address}, Text: words, Mood: moodOf(p.State != PeerNotSeen)}
	a := p.Agent
	if a == nil {
		if listens {
			r.Text += "; no agent is heard there"
			r.Mood = Bad
		}
		return r
	}
	if p.Address == "" {
		r.Cells[1] = a.MAC
	}
	if a.Goodbye {
		r.Text += "; its agent stopped " + past(a.Heard, now)
		return r
	}
	said := []string{string(a.Role)}
	if a.Drained {
		said = append(said, "drained")
	}
	if !a.Serving {
		said = append(said, "HAProxy does not serve")
	}
	r.Text += fmt.Sprintf("; its agent says %s, %s", strings.Join(said, ", "), past(a.Heard, now))
	if a.Draining != nil {
		r.Text += "; it drains: " + a.Draining.text(now)
	}
	return r
}
