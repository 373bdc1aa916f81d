package render

import (
	"fmt"
	"net/netip"
	"strings"

	"rlb.dev/rlb-agent/api"
)

// Names of what the agent owns in the firewall.
const (
	Chain        = "RLB-INPUT"             // the agent's own chain, in the filter table of both families
	FirewallUnit = "rlb-firewall.service"  // loads the rules at boot, without the agent
	rulesIPv4    = "/var/lib/rlb/rules.v4" // what the unit loads
	rulesIPv6    = "/var/lib/rlb/rules.v6"
)

// Jump is the rule that leads every incoming packet through the chain. It stands first in INPUT: behind a DROP or
// REJECT of the host's own it would be dead.
const Jump = "-A INPUT -j " + Chain

// firewall renders one family's rules in the format of iptables-restore, each as iptables-save prints it again, so
// that the two can be compared. What no rule names falls through to the host's own rules.
func (r *renderer) firewall(family api.Family) (File, error) {
	l := newLines()
	l.add("", "*filter")
	l.add("", ":%s - [0:0]", Chain)
	if err := r.vrrpRules(l, family); err != nil {
		return File{}, err
	}
	r.portRules(l, family)
	l.add("", "-I INPUT 1 -j %s", Chain)
	l.add("", "COMMIT")
	path := rulesIPv4
	if family == api.IPv6 {
		path = rulesIPv6
	}
	return l.file(path, FirewallRules), nil
}

// vrrpRules lets VRRP (protocol 112) in on the interface of the virtual IPs, from the peers only. A closed INPUT
// without them makes every node master.
func (r *renderer) vrrpRules(l *lines, family api.Family) error {
	if len(r.vips[family]) == 0 {
		return nil
	}
	sources, origin, err := r.vrrpSources(family)
	if err != nil {
		return err
	}
	for _, source := range sources {
		l.add(origin, "-A %s -s %s -i %s -p 112 -j ACCEPT", Chain, source, r.facts.Interface)
	}
	l.add(origin, "-A %s -i %s -p 112 -j DROP", Chain, r.facts.Interface)
	return nil
}

// vrrpSources are where advertisements may come from, and the field that says so.
func (r *renderer) vrrpSources(family api.Family) (sources []netip.Prefix, origin string, err error) {
	if family == api.IPv6 && r.spec.VRRP.Transport == "multicast" {
		// RFC 9568 §5.1.2.1: the source is the link-local address of the interface.
		return []netip.Prefix{netip.MustParsePrefix("fe80::/10")}, "vrrp.transport", nil
	}
	if r.self != nil {
		for _, peer := range r.peers {
			addr := netip.MustParseAddr(addressOf(&peer, family))
			sources = append(sources, netip.PrefixFrom(addr, addr.BitLen()))
		}
		return sources, "nodes", nil
	}
	for _, subnet := range r.facts.Subnets {
		if api.FamilyOf(subnet.Addr()) == family {
			sources = append(sources, subnet.Masked())
		}
	}
	if len(sources) == 0 {
		return nil, "", fmt.Errorf("cannot tell the %v subnet of interface %s, which VRRP is accepted from", family, r.facts.Interface)
	}
	return sources, "vrrp.interface", nil
}

// firewallUnit renders the unit that loads the rules at boot, before anything is served and after those who flush.
func (r *renderer) firewallUnit() File {
	l := newLines()
	l.add("", "[Unit]")
	l.add("", "Description=Firewall rules of the load balancer (rlb-agent)")
	l.add("", "After=nftables.service netfilter-persistent.service ufw.service firewalld.service")
	l.add("", "Before=haproxy.service keepalived.service")
	l.add("", "")
	l.add("", "[Service]")
	l.add("", "Type=oneshot")
	l.add("", "RemainAfterExit=yes")
	r.loadRules(l, "ExecStart=")
	l.add("", "")
	l.add("", "[Install]")
	l.add("", "WantedBy=multi-user.target")
	return l.file("/etc/systemd/system/"+FirewallUnit, SystemdUnit)
}

// loadRules renders the commands of a unit that load the rules. The first command of each family takes away a jump that is
// there, so that there is one however often it runs.
func (r *renderer) loadRules(l *lines, setting string) {
	for _, c := range []struct {
		family  api.Family
		program string
		rules   string
	}{{api.IPv4, "iptables", rulesIPv4}, {api.IPv6, "ip6tables", rulesIPv6}} {
		must := "" // a kernel without IPv6 is no reason to fail unless there is a virtual IP of it
		if c.family == api.IPv6 && len(r.vips[api.IPv6]) == 0 {
			must = "-"
		}
		l.add("", "%s-/usr/sbin/%s -w 5 -D INPUT -j %s", setting, c.program, Chain)
		l.add("", "%s%s/usr/sbin/%s-restore -w 5 --noflush %s", setting, must, c.program, c.rules)
	}
}

// chainRules are the rules of the agent's chain in a rendered file of rules, for comparison with the host's.
func chainRules(f File) []string {
	var rules []string
	for line := range strings.Lines(string(f.Data)) {
		if strings.HasPrefix(line, "-A "+Chain+" ") {
			rules = append(rules, strings.TrimSpace(line))
		}
	}
	return rules
}

// FamilyOfRules is the family that a rendered file of rules is for.
func FamilyOfRules(f File) api.Family {
	if f.Path == rulesIPv6 {
		return api.IPv6
	}
	return api.IPv4
}
