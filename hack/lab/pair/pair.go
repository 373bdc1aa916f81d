// Package pair is shared by the demo, the benchmarks and the end-to-end tests: two load balancers of the lab, their
// spec and files, which of them holds the virtual IP, and how they are restored after a fault.
package pair

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"rlb.dev/rlb-agent/hack/lab"
)

const (
	// VIP is the virtual IP of every spec here.
	VIP = "198.51.100.100"
	// Service is the address at which clients reach the control planes.
	Service = VIP + ":9000"
	// Agent is the path of the agent on hosts.
	Agent = "/usr/local/sbin/rlb-agent"
	// SpecFile is the path of the spec on hosts.
	SpecFile = "/etc/rlb/spec.yaml"
)

// Nodes are the lines of a spec that name lb1 and lb2 as nodes.
const Nodes = `nodes:
- {name: lb1, addresses: [198.51.100.11]}
- {name: lb2, addresses: [198.51.100.12]}`

// Spec returns a spec with this number of control planes of a lab.Stage behind the virtual IP, and more lines at its
// end.
func Spec(planes int, more ...string) string {
	var b strings.Builder
	b.WriteString(`apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [` + VIP + `]
services:
- name: kube-apiserver
  port: 9000
  servers:
`)
	for i := range planes {
		fmt.Fprintf(&b, "  - {name: cp%d, address: 198.51.100.%d, port: 6443}\n", i+1, 21+i)
	}
	return b.String() + strings.Join(more, "\n") + "\n"
}

// Files returns the agent and its unit for HostOptions, read from two files of the machine. The unit is neither enabled
// nor started.
func Files(agent, unit string) ([]lab.File, error) {
	program, err := lab.LocalFile(agent, Agent, 0o755)
	service, uerr := lab.LocalFile(unit, "/etc/systemd/system/rlb-agent.service", 0o644)
	return []lab.File{program, service}, errors.Join(err, uerr)
}

// Holds reports whether the host has the virtual IP, seen from its own namespace.
func Holds(h *lab.Host) bool { return h.HoldsAddress(netip.MustParseAddr(VIP)) }
