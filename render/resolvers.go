package render

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
)

// resolversName returns the name of the section that resolves DNS names of servers while HAProxy runs. Newer versions of
// HAProxy require a name that no proxy has. No service has a colon in its name.
func (r *renderer) resolversName() string {
	if r.facts.HAProxyVersion.atLeast(gates.haproxyOwnNames) {
		return "rlb:dns"
	}
	return "rlb"
}

// maxNameservers is how many name servers of a resolv.conf the C library uses (resolv.conf(5), MAXNS).
const maxNameservers = 3

// hasNames reports whether a server of the spec is given by its DNS name.
func (r *renderer) hasNames() bool {
	for _, service := range r.spec.Services {
		for _, server := range service.Servers {
			if isName(server.Address) {
				return true
			}
		}
	}
	return false
}

// ownResolvers reports whether the section is written. Without a name server HAProxy would only warn of the section;
// names are then resolved at each start and reload.
func (r *renderer) ownResolvers() bool {
	return r.hasNames() && len(r.nameservers()) > 0
}

// nameservers returns the name servers for HAProxy. Before 2.6 HAProxy refuses to start if it has no route to one of
// them. It then gets only name servers that are reachable whenever the interface of the virtual IPs is up.
func (r *renderer) nameservers() []netip.Addr {
	servers := r.facts.Nameservers
	if !r.facts.HAProxyVersion.atLeast(gates.haproxyBearsNoRoute) {
		servers = slices.DeleteFunc(slices.Clone(servers), func(server netip.Addr) bool { return !r.isNear(server) })
	}
	return servers[:min(len(servers), maxNameservers)]
}

// isNear reports whether an address is a loopback address or in a subnet of the interface of the virtual IPs.
func (r *renderer) isNear(addr netip.Addr) bool {
	return addr.IsLoopback() || slices.ContainsFunc(r.facts.Subnets, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// resolversSection renders the section (HAProxy configuration manual §5.3.2). It lists the name servers, because with
// parse-resolv-conf, or the section "default" of 2.6 and later, HAProxy refuses to start without /etc/resolv.conf. On
// many hosts this file is created late.
func (r *renderer) resolversSection(l *lines) {
	l.section(2, "", "resolvers %s", r.resolversName())
	for i, server := range r.nameservers() {
		l.add("", "    nameserver dns%d %s", i+1, netip.AddrPortFrom(server, 53))
	}
	l.add("", "    accepted_payload_size 8192")
	// By default 30 s without DNS take every server with a name out of service. With these lines a server keeps its last
	// known address, and only its health check decides.
	for _, answer := range []string{"nx", "refused", "timeout", "other"} {
		l.add("", "    hold %s 10d", answer)
	}
}

// resolving returns the words of a server's line if its address is a DNS name (HAProxy configuration manual §5.2).
func (r *renderer) resolving() string {
	// libc uses /etc/hosts and search domains, and resolves the names before a new process takes over. With none HAProxy
	// starts even if a name cannot be resolved.
	words := "init-addr last,libc,none"
	if len(r.nameservers()) > 0 {
		// By default HAProxy prefers IPv6, which a network with IPv4 virtual IPs may not have.
		words += fmt.Sprintf(" resolvers %s resolve-prefer ipv%d", r.resolversName(), r.order[0])
	}
	return words
}

// isName reports whether a server's address is a DNS name.
func isName(address string) bool {
	_, err := netip.ParseAddr(address)
	return err != nil
}

// Nameservers returns the name servers of a resolv.conf, for Facts. It leaves out addresses with a zone, because HAProxy
// cannot use them.
func Nameservers(resolvConf []byte) []netip.Addr {
	var servers []netip.Addr
	for line := range bytes.Lines(resolvConf) {
		words := bytes.Fields(line)
		if len(words) < 2 || string(words[0]) != "nameserver" {
			continue
		}
		if addr, err := netip.ParseAddr(string(words[1])); err == nil && addr.Zone() == "" {
			servers = append(servers, addr.Unmap())
		}
	}
	return servers
}
