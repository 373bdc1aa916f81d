// Package peers holds the reports that the agents of one virtual router send each other, and the conclusions from them:
// whether the hosts have the same spec, and whether a standby would take over. The package is pure: it uses no network and
// no clock.
//
// Reports are not authenticated: any host on the link can send one. So they are information for people. They never move the
// virtual IPs, and no step depends on them. At most, a report makes the agent refuse a command of a person, and --force
// overrides the refusal.
package peers

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
)

// Every is the time between two reports of an agent. An agent reports a change at once.
const Every = 5 * time.Second

// Life is how long a report counts. The goodbye of an agent counts until the agent is heard again, but at most for
// goodbyeLife.
const (
	Life        = 30 * time.Second
	goodbyeLife = 24 * time.Hour
)

// Report is an agent's report on its host.
type Report struct {
	Node    string    `json:"node"`              // the name in the spec's nodes; without nodes the host name
	Agent   string    `json:"agent,omitempty"`   // version
	Goodbye bool      `json:"goodbye,omitempty"` // the agent stops; the other fields hold the last state
	Role    host.Role `json:"role"`
	Drained bool      `json:"drained,omitempty"`
	Serving bool      `json:"serving,omitempty"` // HAProxy answers, and listens for every service
	Spec    Spec      `json:"spec"`

	// Forwards says that this host, as a new holder, goes on forwarding for as long as heartbeats of the former holder arrive.
	// Older agents do not send it.
	Forwards bool `json:"forwards,omitempty"`
	// Drains is set while the host serves the connections that it had when it gave up the virtual IPs; otherwise nil.
	Drains *Drains `json:"drains,omitempty"`
}

// Drains is the progress of a host that serves its last connections.
type Drains struct {
	Connections int           `json:"connections"` // how many are left
	Remaining   time.Duration `json:"remaining"`   // time until the connections are closed, in whole seconds
}

// Spec describes the spec that a host has in force.
type Spec struct {
	Digest     string `json:"digest"` // SHA-256 of the file's bytes, in hexadecimal
	Generation int    `json:"generation"`
	Trial      bool   `json:"trial,omitempty"` // the spec is on trial
	Pair       string `json:"pair,omitempty"`  // digest of the nodes; "" without nodes
	Router     Router `json:"router"`
}

// Router is the virtual router of a host or of an advertisement.
type Router struct {
	ID        int           `json:"id"`       // 1 to 255
	Version   int           `json:"version"`  // of VRRP: 2 or 3
	Priority  int           `json:"priority"` // 0 to 255
	Interval  time.Duration `json:"interval"` // between advertisements
	Addresses []netip.Addr  `json:"addresses"`
}

// Advert is an advertisement of another router.
type Advert struct {
	Router
	From  netip.Addr `json:"from"`
	MAC   string     `json:"mac"`
	Heard time.Time  `json:"heard"`
}

// Self is this host, and what its spec says about the other hosts.
type Self struct {
	Report
	Nodes []Node `json:"nodes,omitempty"` // the other nodes of the spec; none if the spec has no nodes
}

// Node is another node of the spec.
type Node struct {
	Name      string       `json:"name"`
	Addresses []netip.Addr `json:"addresses"`
	Priority  int          `json:"priority"` // from the spec
}

// SelfOf returns the Self of the host named node with this spec in force.
func SelfOf(spec *api.LoadBalancerSpec, node string) Self {
	s := Self{Report: Report{Node: nameOf(node)}}
	r := Router{ID: *spec.VRRP.RouterID, Version: *spec.VRRP.Version, Priority: *spec.VRRP.Priority, Interval: spec.VRRP.AdvertisementInterval.D()}
	for _, v := range spec.VirtualIPs {
		r.Addresses = append(r.Addresses, v.Addr())
	}
	for _, n := range spec.Nodes {
		if n.Name == node {
			r.Priority = spec.PriorityOf(n)
			continue
		}
		s.Nodes = append(s.Nodes, Node{Name: n.Name, Addresses: n.Addrs(), Priority: spec.PriorityOf(n)})
	}
	s.Spec = Spec{Pair: pairOf(spec.Nodes), Router: r}
	return s
}

// pairOf returns a digest of a spec's nodes, "" for no nodes. By it, hosts of one pair recognize each other even if their
// virtual routers differ.
func pairOf(nodes []api.Node) string {
	if len(nodes) == 0 {
		return ""
	}
	var all []string
	for _, n := range nodes {
		all = append(all, fmt.Sprint(n.Name, n.Addresses))
	}
	slices.Sort(all)
	sum := sha256.Sum256([]byte(strings.Join(all, "\n")))
	return hex.EncodeToString(sum[:pairSize])
}

// nameOf returns a name that a message may contain. A host name may hold other octets.
func nameOf(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r > 127 || !nameOctet(byte(r)) {
			return '-'
		}
		return r
	}, name)
	return cmp.Or(clean[:min(len(clean), maxName)], "unknown")
}

// related says whether two hosts belong to one virtual router, or should.
func (s Spec) related(other Spec) bool {
	return s.Router.ID == other.Router.ID || s.Pair != "" && s.Pair == other.Pair || s.Router.shares(other.Router)
}

func (r Router) shares(other Router) bool {
	return slices.ContainsFunc(r.Addresses, func(a netip.Addr) bool { return slices.Contains(other.Addresses, a) })
}

// equal says whether two reports are the same.
func (r Report) equal(other Report) bool { return reflect.DeepEqual(r, other) }
