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
	// maxPeers is how many agents are remembered, and how many routers.
	maxPeers = 16

	// patience is how long the daemon listens before silence says something: each agent speaks every few seconds, and one
	// that starts with this host takes a moment.
	patience = 2 * Every

	// tableVersion is that of the file's form.
	tableVersion = 1
)

// Table is what a host knows of its peers: the daemon keeps it, and leaves it in a file for other programs.
type Table struct {
	Version int       `json:"version"`
	Written time.Time `json:"written"` // by the daemon, which writes it again and again
	Since   time.Time `json:"since"`   // the daemon listens
	Self    Self      `json:"self"`    // as it was reported last
	Peers   []Peer    `json:"peers,omitempty"`
	Adverts []Advert  `json:"adverts,omitempty"` // of others, for this virtual router or its addresses
}

// Peer is another host, as its agent reported it last.
type Peer struct {
	Report
	MAC   string    `json:"mac"`
	Heard time.Time `json:"heard"`
	Since time.Time `json:"since,omitzero"` // it says this role since then; zero where it had it when it was first heard
}

// fresh says whether the last report counts.
func (p Peer) fresh(now time.Time) bool { return !p.Goodbye && now.Sub(p.Heard) <= Life }

// Mark is the table as it is written now.
func (t Table) Mark(now time.Time) Table {
	t.Version, t.Written = tableVersion, now
	return t
}

// Alive says whether a daemon keeps this table, as its file has it.
func (t Table) Alive(now time.Time) bool {
	return t.Version == tableVersion && now.Sub(t.Written) <= Life
}

// SetSelf takes over how this host is. What the peers said may concern it no more. changed is that its report is another.
func (t *Table) SetSelf(s Self) (changed bool) {
	if t.Self.Spec.Digest != s.Spec.Digest {
		t.Adverts = nil // those from before an edit tell of what differed then
	}
	changed = !t.Self.equal(s.Report)
	t.Self = s
	t.Peers = slices.DeleteFunc(t.Peers, func(p Peer) bool { return !t.concerns(p.Report) })
	return changed
}

// concerns says whether a report is of a peer: a node of the spec, or, where it names none, any host that shares the
// virtual router.
func (t *Table) concerns(r Report) bool {
	if !t.Self.Spec.related(r.Spec) {
		return false
	}
	if len(t.Self.Nodes) == 0 {
		return t.Self.Spec.Pair == "" // else this is the only node
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

// Hear takes over a report that came from a MAC. news is that it says something new. Whoever used a node's name first
// keeps it until nothing was heard from that MAC for Life: another MAC cannot speak for it meanwhile.
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
		sort.Slice(t.Peers, func(i, j int) bool { // as code of its own for this large type, slices.SortFunc takes 20 kB
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

// makeRoom forgets a host that said goodbye.
func (t *Table) makeRoom() bool {
	at := slices.IndexFunc(t.Peers, func(p Peer) bool { return p.Goodbye })
	if at >= 0 {
		t.Peers = slices.Delete(t.Peers, at, at+1)
	}
	return at >= 0
}

// AllHeard says whether a peer's agent is heard, and that of each node of the spec.
func (t Table) AllHeard(now time.Time) bool {
	return len(t.silentNodes(now)) == 0 && slices.ContainsFunc(t.Peers, func(p Peer) bool { return p.fresh(now) })
}

// Fresh says whether the agent of a node is heard.
func (t Table) Fresh(node string, now time.Time) bool {
	return t.Alive(now) && slices.ContainsFunc(t.Peers, func(p Peer) bool { return p.Node == node && p.fresh(now) })
}

// CannotForward are the nodes whose agents are heard, and do not go on forwarding for a former holder that says it serves
// on. Where no daemon runs here nobody knows.
func (t Table) CannotForward(now time.Time) (names []string) {
	for _, p := range t.Peers {
		if t.Alive(now) && p.fresh(now) && !p.Forwards {
			names = append(names, p.Node)
		}
	}
	return names
}

// DrainsBeside is a host that serves connections from before it was drained, where a third one may take over from this
// host; "" for none. Of two hosts the other one takes over itself.
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

// HearAdverts takes over what routers advertise now. It keeps what concerns this virtual router.
func (t *Table) HearAdverts(all []Advert) {
	t.Adverts = nil
	for _, a := range all {
		known := slices.ContainsFunc(t.Self.Nodes, func(n Node) bool { return slices.Contains(n.Addresses, a.From) })
		if a.Priority > 0 && (known || t.Self.Spec.Router.shares(a.Router) || t.Self.Spec.Router.ID == a.ID) && len(t.Adverts) < maxPeers {
			t.Adverts = append(t.Adverts, a)
		}
	}
}

// Expire forgets what is too old. changed is that something was.
func (t *Table) Expire(now time.Time) (changed bool) {
	peers, adverts := len(t.Peers), len(t.Adverts)
	t.Peers = slices.DeleteFunc(t.Peers, func(p Peer) bool {
		age := now.Sub(p.Heard)
		return p.Goodbye && age > goodbyeLife || !p.Goodbye && age > Life
	})
	t.Adverts = slices.DeleteFunc(t.Adverts, func(a Advert) bool { return now.Sub(a.Heard) > Life })
	return len(t.Peers) != peers || len(t.Adverts) != adverts
}

// nodeOf is the node with an address, "" for none.
func (s Self) nodeOf(addr netip.Addr) string {
	for _, n := range s.Nodes {
		if slices.Contains(n.Addresses, addr) {
			return n.Name
		}
	}
	return ""
}
