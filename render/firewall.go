package render

import (
	"fmt"
	"net/netip"
	"strings"

	"rlb.dev/rlb-agent/api"
)

// Names of the agent's own chain, unit and files of the firewall.
const (
	Chain        = "RLB-INPUT"             // in the filter table of both families
	FirewallUnit = "rlb-firewall.service"  // loads the rules at boot, without the agent
	rulesIPv4    = "/var/lib/rlb/rules.v4" // the unit loads these files
	rulesIPv6    = "/var/lib/rlb/rules.v6"
)

// Jump is the rule that sends every incoming packet through the chain. It is the first rule of INPUT: after a DROP or
// REJECT of the host's own rules it would have no effect.
const Jump = "-A INPUT -j " + Chain

// firewall renders the rules of one family in the format of iptables-restore. Each rule is written as iptables-save
// prints it, so that the two can be compared. Packets that match no rule continue to the host's own rules.
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

// vrrpRules accepts VRRP (protocol 112) on the interface of the virtual IPs, from the peers only. If the host's own INPUT
// rules drop VRRP, every node without these rules becomes MASTER.
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

// vrrpSources returns the allowed sources of advertisements, and the field that they come from.
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

// firewallUnit renders the unit that loads the rules at boot: after the units that may flush rules, and before HAProxy
// and keepalived start.
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

// loadRules renders the commands of a unit that load the rules. The first command of each family deletes an existing
// jump, so that there is only one, however often the commands run.
func (r *renderer) loadRules(l *lines, setting string) {
	for _, c := range []struct {
		family  api.Family
		program string
		rules   string
	}{{api.IPv4, "iptables", rulesIPv4}, {api.IPv6, "ip6tables", rulesIPv6}} {
		must := "" // without an IPv6 virtual IP, a kernel without IPv6 is no reason to fail
		if c.family == api.IPv6 && len(r.vips[api.IPv6]) == 0 {
			must = "-"
		}
		l.add("", "%s-/usr/sbin/%s -w 5 -D INPUT -j %s", setting, c.program, Chain)
		l.add("", "%s%s/usr/sbin/%s-restore -w 5 --noflush %s", setting, must, c.program, c.rules)
	}
}

// chainRules returns the rules of the agent's chain in a rendered file of rules, for comparison with those of the host.
func chainRules(f File) []string {
	var rules []string
	for line := range strings.Lines(string(f.Data)) {
		if strings.HasPrefix(line, "-A "+Chain+" ") {
			rules = append(rules, strings.TrimSpace(line))
		}
	}
	return rules
}

// FamilyOfRules returns the family of a rendered file of rules.
func FamilyOfRules(f File) api.Family {
	if f.Path == rulesIPv6 {
		return api.IPv6
	}
	return api.IPv4
}
