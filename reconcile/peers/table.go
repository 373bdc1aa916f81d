package peers

import (
	"cmp"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"time"
)

const (
	// maxPeers is how many peers a table holds at most, and how many advertisements.
	maxPeers = 16

	// patience is how long the daemon listens before it judges silence: each agent reports once in Every, and an agent that
	// starts together with this host needs a moment.
	patience = 2 * Every

	// tableVersion is the version of the file format.
	tableVersion = 1
)

// Table is what a host knows about its peers. The daemon keeps the table and writes it to a file for other programs.
type Table struct {
	Version int       `json:"version"`
	Written time.Time `json:"written"` // when the daemon wrote the table; it does so repeatedly
	Since   time.Time `json:"since"`   // when the daemon began to listen
	Self    Self      `json:"self"`    // as this host reported itself last
	Peers   []Peer    `json:"peers,omitempty"`
	Adverts []Advert  `json:"adverts,omitempty"` // by other hosts, for this virtual router or its addresses
}

// Peer is another host with the last report of its agent.
type Peer struct {
	Report
	MAC   string    `json:"mac"`
	Heard time.Time `json:"heard"`
	Since time.Time `json:"since,omitzero"` // when the peer's role changed to this one; zero if it has not changed since the first report
}

// fresh says whether the last report still counts.
func (p Peer) fresh(now time.Time) bool { return !p.Goodbye && now.Sub(p.Heard) <= Life }

// Mark returns the table with the version and the time of writing set.
func (t Table) Mark(now time.Time) Table {
	t.Version, t.Written = tableVersion, now
	return t
}

// Alive says whether a running daemon keeps the file that this table was read from up to date.
func (t Table) Alive(now time.Time) bool {
	return t.Version == tableVersion && now.Sub(t.Written) <= Life
}

// SetSelf sets the state of this host. It removes the peers that are no longer related to this host. changed says that the
// report of this host is a new one.
func (t *Table) SetSelf(s Self) (changed bool) {
	if t.Self.Spec.Digest != s.Spec.Digest {
		t.Adverts = nil // advertisements from before an edit show former differences
	}
	changed = !t.Self.equal(s.Report)
	t.Self = s
	t.Peers = slices.DeleteFunc(t.Peers, func(p Peer) bool { return !t.concerns(p.Report) })
	return changed
}

// concerns says whether a report comes from a peer: another node of the spec, or, if the spec has no nodes, any host of the
// same virtual router.
func (t *Table) concerns(r Report) bool {
	if !t.Self.Spec.related(r.Spec) {
		return false
	}
	if len(t.Self.Nodes) == 0 {
		return t.Self.Spec.Pair == "" // otherwise this host is the only node
	}
	_, known := t.Self.node(r.Node)
	return known
}

func (s Self) node(name string) (Node, bool) {
	at := slices.IndexFunc(s.Nodes, func(n Node) bool { return n.Name == name })
	if at < 0 {
		return Node{}, false
	}
	return s.Nodes[at], true
}

// Hear records a report that came from a MAC. news says that the report differs from the one before. The first MAC that
// reports under a node's name keeps the name until it has been silent for Life or has said goodbye. Reports from another MAC
// under that name are ignored until then.
func (t *Table) Hear(mac string, r Report, now time.Time) (news bool) {
	if !t.concerns(r) {
		return false
	}
	at := slices.IndexFunc(t.Peers, func(p Peer) bool {
		if len(t.Self.Nodes) > 0 {
			return p.Node == r.Node
		}
		return p.MAC == mac
	})
	if at < 0 {
		if len(t.Peers) >= maxPeers && !t.makeRoom() {
			return false
		}
		t.Peers = append(t.Peers, Peer{Report: r, MAC: mac, Heard: now})
		sort.Slice(t.Peers, func(i, j int) bool { // slices.SortFunc would add 20 kB of code for this large type
			a, b := &t.Peers[i], &t.Peers[j]
			return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.MAC, b.MAC)) < 0
		})
		return true
	}
	p := &t.Peers[at]
	if p.MAC != mac && p.fresh(now) {
		return false
	}
	news = !p.Report.equal(r)
	since := p.Since
	if p.Role != r.Role {
		since = now
	}
	*p = Peer{r, mac, now, since}
	return news
}

// Has says whether a peer's report came from a MAC.
func (t *Table) Has(mac string) bool {
	return slices.ContainsFunc(t.Peers, func(p Peer) bool { return p.MAC == mac })
}

// makeRoom removes a peer that said goodbye. It returns false if there is none.
func (t *Table) makeRoom() bool {
	at := slices.IndexFunc(t.Peers, func(p Peer) bool { return p.Goodbye })
	if at >= 0 {
		t.Peers = slices.Delete(t.Peers, at, at+1)
	}
	return at >= 0
}

// AllHeard says whether the agents of all other nodes of the spec are heard, and of at least one peer.
func (t Table) AllHeard(now time.Time) bool {
	return len(t.silentNodes(now)) == 0 && slices.ContainsFunc(t.Peers, func(p Peer) bool { return p.fresh(now) })
}

// Fresh says whether the agent of a node is heard.
func (t Table) Fresh(node string, now time.Time) bool {
	return t.Alive(now) && slices.ContainsFunc(t.Peers, func(p Peer) bool { return p.Node == node && p.fresh(now) })
}

// CannotForward returns the nodes whose agents are heard, but do not forward to a former holder that serves on. It returns
// none if no daemon runs on this host.
func (t Table) CannotForward(now time.Time) (names []string) {
	for _, p := range t.Peers {
		if t.Alive(now) && p.fresh(now) && !p.Forwards {
			names = append(names, p.Node)
		}
	}
	return names
}

// DrainsBeside returns a host that still serves connections from before it was drained while a third host may take over from
// this one; "" if there is none. With two hosts, the draining host itself would take over.
func (t Table) DrainsBeside(now time.Time) (name string) {
	others := 0
	for _, p := range t.Peers {
		if !t.Alive(now) || !p.fresh(now) {
			continue
		}
		if others++; p.Drains != nil {
			name = p.Node
		}
	}
	if others < 2 {
		return ""
	}
	return name
}

// HearAdverts sets the current advertisements of other routers. It keeps those that concern this virtual router or come
// from a node of the spec.
func (t *Table) HearAdverts(all []Advert) {
	t.Adverts = nil
	for _, a := range all {
		known := slices.ContainsFunc(t.Self.Nodes, func(n Node) bool { return slices.Contains(n.Addresses, a.From) })
		if a.Priority > 0 && (known || t.Self.Spec.Router.shares(a.Router) || t.Self.Spec.Router.ID == a.ID) && len(t.Adverts) < maxPeers {
			t.Adverts = append(t.Adverts, a)
		}
	}
}

// Expire removes peers and advertisements that are too old. changed says that it removed any.
func (t *Table) Expire(now time.Time) (changed bool) {
	peers, adverts := len(t.Peers), len(t.Adverts)
	t.Peers = slices.DeleteFunc(t.Peers, func(p Peer) bool {
		age := now.Sub(p.Heard)
		return p.Goodbye && age > goodbyeLife || !p.Goodbye && age > Life
	})
	t.Adverts = slices.DeleteFunc(t.Adverts, func(a Advert) bool { return now.Sub(a.Heard) > Life })
	return len(t.Peers) != peers || len(t.Adverts) != adverts
}

// nodeOf returns the other node with this address, "" if there is none.
func (s Self) nodeOf(addr netip.Addr) string {
	for _, n := range s.Nodes {
		if slices.Contains(n.Addresses, addr) {
			return n.Name
		}
	}
	return ""
}
