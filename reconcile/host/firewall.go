package host

// Firewall is the state of the filter table of one family. Rules are lines in iptables-save's form without counters,
// protocols by number ("-A INPUT -p 112 -j ACCEPT").
type Firewall struct {
	Input []string // rules of INPUT, in order
	Chain []string // rules of the agent's own chain, in order; nil where the chain does not exist
}
