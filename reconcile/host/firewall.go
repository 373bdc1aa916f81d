package host

import (
	"context"

	"rlb.dev/rlb-agent/api"
)

// Firewall is the state of the filter table of one family. Rules are lines in the format of iptables-save without counters,
// with protocol numbers ("-A INPUT -p 112 -j ACCEPT").
type Firewall struct {
	Input []string // rules of INPUT, in order
	Chain []string // rules of the agent's own chain, in order; nil if the chain does not exist
}

// FirewallReader reads the packet filter.
type FirewallReader interface {
	// Firewall returns the state of the filter table's INPUT chain and of the agent's own chain.
	Firewall(ctx context.Context, family api.Family) (Firewall, error)
}

// FirewallWriter changes the packet filter.
type FirewallWriter interface {
	// LoadFirewall adds rules in the format of iptables-restore to the existing ones, all of them or none.
	LoadFirewall(ctx context.Context, family api.Family, rules string) error
}
