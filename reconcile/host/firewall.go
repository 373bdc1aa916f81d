package host

import (
	"context"

	"rlb.dev/rlb-agent/api"
)

// Firewall is the state of the filter table of one family. Rules are lines in iptables-save's form without counters,
// protocols by number ("-A INPUT -p 112 -j ACCEPT").
type Firewall struct {
	Input []string // rules of INPUT, in order
	Chain []string // rules of the agent's own chain, in order; nil where the chain does not exist
}

// FirewallReader looks at the packet filter.
type FirewallReader interface {
	// Firewall is the state of the filter table's INPUT chain and of the agent's own chain.
	Firewall(ctx context.Context, family api.Family) (Firewall, error)
}

// FirewallWriter changes the packet filter.
type FirewallWriter interface {
	// LoadFirewall applies rules in iptables-restore's format on top of what is there, all of them or none.
	LoadFirewall(ctx context.Context, family api.Family, rules string) error
}
