package render

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
)

// resolversName is the section that servers with a DNS name are resolved by while HAProxy runs. It must not be the name
// of a service where HAProxy minds that; a colon is in no service's.
func (r *renderer) resolversName() string {
	if r.facts.HAProxyVersion.atLeast(gates.haproxyOwnNames) {
		return "rlb:dns"
	}
	return "rlb"
}

// maxNameservers is how many of a resolv.conf the C library uses (resolv.conf(5), MAXNS).
const maxNameservers = 3

// hasNames says whether a server of the spec is given by its DNS name.
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

// ownResolvers says whether the section is written: without a name server HAProxy would only warn of it, and names
// are then resolved at each start and reload.
func (r *renderer) ownResolvers() bool {
	return r.hasNames() && len(r.nameservers()) > 0
}

// nameservers are those that HAProxy asks. Before 2.6 it refuses to start without a route to one, so that it then gets
// only those that are there whenever the interface of the virtual IPs is.
func (r *renderer) nameservers() []netip.Addr {
	servers := r.facts.Nameservers
	if !r.facts.HAProxyVersion.atLeast(gates.haproxyBearsNoRoute) {
		servers = slices.DeleteFunc(slices.Clone(servers), func(server netip.Addr) bool { return !r.isNear(server) })
	}
	return servers[:min(len(servers), maxNameservers)]
}

// isNear says whether an address is the host's own or on the link of the virtual IPs.
func (r *renderer) isNear(addr netip.Addr) bool {
	return addr.IsLoopback() || slices.ContainsFunc(r.facts.Subnets, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// resolversSection renders the section (HAProxy configuration manual §5.3.2). The name servers stand in it, because
// HAProxy refuses to start where parse-resolv-conf, or the section "default" of 2.6 and later, finds no
// /etc/resolv.conf; and that is there late on many hosts.
func (r *renderer) resolversSection(l *lines) {
	l.section(2, "", "resolvers %s", r.resolversName())
	for i, server := range r.nameservers() {
		l.add("", "    nameserver dns%d %s", i+1, netip.AddrPortFrom(server, 53))
	}
	l.add("", "    accepted_payload_size 8192")
	// By default 30 s without DNS take every server with a name out of service. Here a server keeps the address that
	// was last known, and its health check alone judges it.
	for _, answer := range []string{"nx", "refused", "timeout", "other"} {
		l.add("", "    hold %s 10d", answer)
	}
}

// resolving is what a server's line says if its address is a DNS name (HAProxy configuration manual §5.2).
func (r *renderer) resolving() string {
	// libc knows /etc/hosts and search domains, and gives a new process its addresses before it takes over; none lets
	// it start without them.
	words := "init-addr last,libc,none"
	if len(r.nameservers()) > 0 {
		// HAProxy's own preference is IPv6, which a network with IPv4 virtual IPs may not have.
		words += fmt.Sprintf(" resolvers %s resolve-prefer ipv%d", r.resolversName(), r.order[0])
	}
	return words
}

// isName says whether a server's address is a DNS name.
func isName(address string) bool {
	_, err := netip.ParseAddr(address)
	return err != nil
}

// Nameservers are the name servers of a resolv.conf, as Facts wants them. Those with a zone are left out, for HAProxy
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
