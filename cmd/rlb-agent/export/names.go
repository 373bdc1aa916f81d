package export

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
)

// hostsFile is hosts(5).
const hostsFile = "/etc/hosts"

// known reports whether a Host field names this host in a way that no web site can. In a DNS rebinding attack, a web
// site points its own name at this host, and the browser gives our answer to the site.
//
// IP addresses are safe, and so are names without a dot, which the public DNS does not assign. Other names must be
// known to the administrator: the machine's own name, a node of the spec, or a name in /etc/hosts.
func (e *Exporter) known(ctx context.Context, host string) bool {
	name := hostname(host)
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	if name == "" {
		return false
	}
	if !strings.Contains(name, ".") {
		return true
	}
	own, _ := os.Hostname()
	names := append(e.nodeNames(), own)
	if slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
		return true
	}
	file, err := e.Host.File(ctx, hostsFile)
	return err == nil && inHosts(file, name)
}

// hostname returns a Host field without its port and the final dot.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), ".")
}

func (e *Exporter) nodeNames() (names []string) {
	if doc := e.current.spec(); doc != nil {
		for _, n := range doc.Spec.Nodes {
			names = append(names, n.Name)
		}
	}
	return names
}

func inHosts(file host.File, name string) bool {
	for line := range strings.Lines(string(file.Data)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line) // an address and its names
		if len(fields) > 1 && slices.ContainsFunc(fields[1:], func(n string) bool { return strings.EqualFold(n, name) }) {
			return true
		}
	}
	return false
}
