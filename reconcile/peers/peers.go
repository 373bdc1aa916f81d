// Package peers is what the agents of one virtual router tell each other, and what follows from it: whether they have
// the same spec, and whether somebody would take over. It is pure: it knows no network and no clock.
//
// Nobody vouches for what is heard: anybody on the link can say it. So it informs people. It never moves the virtual IPs,
// and no step depends on it. The most that it does is to refuse what a person asks for, and --force goes past that.
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

// Every is the time between two reports of an agent. Changes are reported at once.
const Every = 5 * time.Second

// Life is how long a report counts: that of an agent which says goodbye counts until it is heard again, or for a day.
const (
	Life        = 30 * time.Second
	goodbyeLife = 24 * time.Hour
)

// Report is what an agent says of its host.
type Report struct {
	Node    string    `json:"node"`              // of the spec; without nodes the name of the host
	Agent   string    `json:"agent,omitempty"`   // version
	Goodbye bool      `json:"goodbye,omitempty"` // the agent stops; all else is as it was
	Role    host.Role `json:"role"`
	Drained bool      `json:"drained,omitempty"`
	Serving bool      `json:"serving,omitempty"` // HAProxy answers, and listens for every service
	Spec    Spec      `json:"spec"`

	// Forwards is that this host, as a new holder, goes on forwarding for as long as heartbeats of the former one come.
	// Agents before that do not say it.
	Forwards bool `json:"forwards,omitempty"`
	// Drains is that the host serves the connections that it had when it gave the virtual IPs up; nil where it does not.
	Drains *Drains `json:"drains,omitempty"`
}

// Drains is how far a host is with its last connections.
type Drains struct {
	Connections int           `json:"connections"` // that are left
	Remaining   time.Duration `json:"remaining"`   // until they are closed, in whole seconds
}

// Spec is what a host has in force.
type Spec struct {
	Digest     string `json:"digest"` // SHA-256 of the file's bytes, in hexadecimal
	Generation int    `json:"generation"`
	Trial      bool   `json:"trial,omitempty"` // it is tried
	Pair       string `json:"pair,omitempty"`  // digest of the nodes; "" without nodes
	Router     Router `json:"router"`
}

// Router is the virtual router of a host, or of an advertisement.
type Router struct {
	ID        int           `json:"id"`       // 1 to 255
	Version   int           `json:"version"`  // of VRRP: 2 or 3
	Priority  int           `json:"priority"` // 0 to 255
	Interval  time.Duration `json:"interval"` // between advertisements
	Addresses []netip.Addr  `json:"addresses"`
}

// Advert is what a router advertises.
type Advert struct {
	Router
	From  netip.Addr `json:"from"`
	MAC   string     `json:"mac"`
	Heard time.Time  `json:"heard"`
}

// Self is this host, and what it knows of the others beforehand.
type Self struct {
	Report
	Nodes []Node `json:"nodes,omitempty"` // the other nodes of the spec; none where it has no nodes
}

// Node is another node of the spec.
type Node struct {
	Name      string       `json:"name"`
	Addresses []netip.Addr `json:"addresses"`
	Priority  int          `json:"priority"` // that the spec gives it
}

// SelfOf is a host with this spec in force. node is its name.
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

// pairOf tells the nodes of one spec from those of another, so that hosts know each other whose virtual router differs.
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

// nameOf is a name as messages have it: a host's may hold anything.
func nameOf(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r > 127 || !nameOctet(byte(r)) {
			return '-'
		}
		return r
	}, name)
	return cmp.Or(clean[:min(len(clean), maxName)], "unknown")
}

// related says whether two hosts are of one virtual router, or are meant to be.
func (s Spec) related(other Spec) bool {
	return s.Router.ID == other.Router.ID || s.Pair != "" && s.Pair == other.Pair || s.Router.shares(other.Router)
}

func (r Router) shares(other Router) bool {
	return slices.ContainsFunc(r.Addresses, func(a netip.Addr) bool { return slices.Contains(other.Addresses, a) })
}

// equal says whether two reports say the same.
func (r Report) equal(other Report) bool { return reflect.DeepEqual(r, other) }
