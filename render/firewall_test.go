package render

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/api"
)

const (
	vip4  = "virtualIPs: [192.168.3.240]\n"
	vip46 = "virtualIPs: [192.168.3.240, \"2001:db8:3::240\"]\n"
)

// chains renders a spec and returns its rules of both families, without the prefix that all rules have.
func chains(t *testing.T, yaml string) (v4, v6 []string) {
	t.Helper()
	spec := parse(t, shortest+yaml)
	for _, f := range files(t, spec, factsFor(spec, stable)) {
		if f.Kind != FirewallRules {
			continue
		}
		var rules []string
		for _, rule := range chainRules(f) {
			rules = append(rules, strings.TrimPrefix(rule, "-A "+Chain+" "))
		}
		if FamilyOfRules(f) == api.IPv4 {
			v4 = rules
		} else {
			v6 = rules
		}
	}
	return v4, v6
}

func TestVRRPSources(t *testing.T) {
	const drop, port = "-i eth0 -p 112 -j DROP", "-p tcp -m tcp --dport 9000 -j ACCEPT"
	const nodes = "nodes:\n- {name: lb1, addresses: [192.168.3.241, \"2001:db8:3::241\"]}\n- {name: lb2, addresses: [192.168.3.242, \"2001:db8:3::242\"]}\n" +
		"- {name: lb3, addresses: [192.168.3.243, \"2001:db8:3::243\"]}\n"
	linkLocal := []string{"-s fe80::/10 -i eth0 -p 112 -j ACCEPT", drop, port}
	for _, c := range []struct {
		name, yaml string
		v4, v6     []string
	}{
		{"no nodes", vip4, []string{"-s 192.168.3.0/24 -i eth0 -p 112 -j ACCEPT", drop, port}, []string{port}},
		{"no nodes, two families", vip46, []string{"-s 192.168.3.0/24 -i eth0 -p 112 -j ACCEPT", drop, port}, linkLocal},
		{"nodes, multicast", vip46 + nodes,
			[]string{"-s 192.168.3.242/32 -i eth0 -p 112 -j ACCEPT", "-s 192.168.3.243/32 -i eth0 -p 112 -j ACCEPT", drop, port}, linkLocal},
		{"nodes, unicast", vip46 + nodes + "vrrp: {transport: unicast}\n",
			[]string{"-s 192.168.3.242/32 -i eth0 -p 112 -j ACCEPT", "-s 192.168.3.243/32 -i eth0 -p 112 -j ACCEPT", drop, port},
			[]string{"-s 2001:db8:3::242/128 -i eth0 -p 112 -j ACCEPT", "-s 2001:db8:3::243/128 -i eth0 -p 112 -j ACCEPT", drop, port}},
		{"one node", vip4 + "nodes: [{name: lb1, addresses: [192.168.3.241]}]\n", []string{drop, port}, []string{port}},
	} {
		v4, v6 := chains(t, c.yaml+oneService)
		if diff := cmp.Diff([][]string{c.v4, c.v6}, [][]string{v4, v6}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestSevenNodes: VRRP is accepted from each of six peers, and from no other host.
func TestSevenNodes(t *testing.T) {
	nodes, want := "nodes:\n", []string{}
	for i := 1; i <= 7; i++ {
		nodes += fmt.Sprintf("- {name: lb%d, addresses: [192.168.3.%d]}\n", i, 240+i)
		if i > 1 {
			want = append(want, fmt.Sprintf("-s 192.168.3.%d/32 -i eth0 -p 112 -j ACCEPT", 240+i))
		}
	}
	for _, transport := range []string{"unicast", "multicast"} {
		v4, _ := chains(t, vip4+nodes+"vrrp: {transport: "+transport+"}\n"+oneService)
		if got := v4[:min(len(v4), 7)]; !slices.Equal(got, append(slices.Clone(want), "-i eth0 -p 112 -j DROP")) {
			t.Errorf("%s: %q", transport, v4)
		}
	}
}

func TestAllowFrom(t *testing.T) {
	const local, drop = "-i lo -j RETURN", "-p tcp -m tcp --dport 9000 -j DROP"
	accept := func(source string) string { return source + "-p tcp -m tcp --dport 9000 -j ACCEPT" }
	for _, c := range []struct {
		allow  string
		v4, v6 []string
	}{
		{"", []string{accept("")}, []string{accept("")}},
		{"10.0.0.0/8", []string{local, accept("-s 10.0.0.0/8 "), drop}, []string{local, drop}},
		{"10.1.2.3/8, 192.168.3.9/32", []string{local, accept("-s 10.0.0.0/8 "), accept("-s 192.168.3.9/32 "), drop}, []string{local, drop}},
		{"10.1.2.3/8, 10.0.0.0/8, 10.0.0.0/8", []string{local, accept("-s 10.0.0.0/8 "), drop}, []string{local, drop}},
		{"0.0.0.0/0", []string{local, accept(""), drop}, []string{local, drop}}, // as iptables-save prints it
		{"\"::/0\"", []string{local, drop}, []string{local, accept(""), drop}},
		{"10.0.0.0/8, \"2001:DB8::/32\"", []string{local, accept("-s 10.0.0.0/8 "), drop}, []string{local, accept("-s 2001:db8::/32 "), drop}},
	} {
		v4, v6 := chains(t, vip4+"firewall: {allowFrom: ["+c.allow+"]}\n"+oneService)
		if diff := cmp.Diff([][]string{c.v4, c.v6}, [][]string{v4[2:], v6}); diff != "" { // after the rules of VRRP
			t.Errorf("%s (-want +got):\n%s", c.allow, diff)
		}
	}
}

// TestSharedPort: two services with one port on different addresses open the port once.
func TestSharedPort(t *testing.T) {
	v4, _ := chains(t, vip4+`services:
- {name: a, bind: 192.168.3.240, port: 80, servers: [{address: 10.0.0.1}]}
- {name: b, bind: 127.0.0.1, port: 80, servers: [{address: 10.0.0.1}]}
- {name: c, port: 81, servers: [{address: 10.0.0.1}]}
`)
	want := []string{"-p tcp -m tcp --dport 80 -j ACCEPT", "-p tcp -m tcp --dport 81 -j ACCEPT"}
	if diff := cmp.Diff(want, v4[2:]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFirewallOff(t *testing.T) {
	spec := parse(t, shortest+vip4+"firewall: {manage: false}\nvrrp: {handover: none}\n"+oneService)
	facts := factsFor(spec, stable)
	facts.Subnets = nil // not needed without the firewall
	for _, f := range files(t, spec, facts) {
		if f.Kind == FirewallRules || strings.HasSuffix(f.Path, FirewallUnit) {
			t.Errorf("%s is rendered", f.Path)
		}
	}
}

// TestMissingFacts: a fact that is missing is an error, not a guess.
func TestMissingFacts(t *testing.T) {
	const node = "nodes: [{name: lb1, addresses: [192.168.3.241]}]\n"
	for _, c := range []struct {
		yaml, want string
		change     func(*Facts)
	}{
		{vip4, "cannot tell the interface of the virtual IPs", func(f *Facts) { f.Interface = "" }},
		{vip4, "cannot tell the IPv4 subnet of interface eth0", func(f *Facts) { f.Subnets = f.Subnets[1:] }},
		{vip4 + node, "cannot tell which of the spec's nodes this is", func(f *Facts) { f.Node = "" }},
		{vip4 + node, `cannot find node "lb9" in the spec`, func(f *Facts) { f.Node = "lb9" }},
		{vip4, `cannot use interface "eth0\n": must be`, func(f *Facts) { f.Interface = "eth0\n" }},
		{vip4, `cannot use version "2.6\n" of haproxy`, func(f *Facts) { f.HAProxyVersion = "2.6\n" }},
		{vip4, `cannot use interface lo`, func(f *Facts) { f.Interface = "lo" }},
		{vip4, `cannot use version "banana" of haproxy`, func(f *Facts) { f.HAProxyVersion = "banana" }},
		{vip4, `cannot use version "2" of haproxy: must be a Debian version, as 2.6.12-1`, func(f *Facts) { f.HAProxyVersion = "2" }},
		{vip4, `cannot use version "2" of keepalived: must be a Debian version, as 1:2.2.7-1`, func(f *Facts) { f.KeepalivedVersion = "2" }},
		{vip4, `cannot use version "-1" of keepalived`, func(f *Facts) { f.KeepalivedVersion = "-1" }},
		{vip4, `cannot use version "2 3" of keepalived`, func(f *Facts) { f.KeepalivedVersion = "2 3" }},
		{vip4, `cannot use path "/etc/../x" of haproxy.cfg`, func(f *Facts) { f.HAProxyConfig = "/etc/../x" }},
		{vip4, `cannot use path "a.conf" of keepalived.conf`, func(f *Facts) { f.KeepalivedConfig = "a.conf" }},
		{vip4, `cannot use path "/bin/x y" of systemctl`, func(f *Facts) { f.Systemctl = "/bin/x y" }},
		{vip4, `cannot use name server "fe80::1%x": must be`, func(f *Facts) { f.Nameservers = []netip.Addr{netip.MustParseAddr("fe80::1%x")} }},
		{vip4, `cannot use "net/ipv4/ip_forward" as a setting`, func(f *Facts) { f.Sysctls = map[string]string{"net/ipv4/ip_forward": "1"} }},
		{vip4, `cannot use "net/ipv4/conf/eth0 x/arp_ignore" as a setting`, func(f *Facts) { f.Sysctls = map[string]string{"net/ipv4/conf/eth0 x/arp_ignore": "1"} }},
		{vip4, `cannot use subnet "invalid Prefix"`, func(f *Facts) { f.Subnets = append(f.Subnets, netip.Prefix{}) }},
		{vip46, "", func(f *Facts) { f.Subnets = []netip.Prefix{netip.MustParsePrefix("192.168.3.241/24")} }},
	} {
		spec := parse(t, shortest+c.yaml+oneService)
		facts := factsFor(spec, stable)
		c.change(&facts)
		_, err := Render(spec, facts)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("want %q, got %v", c.want, err)
		}
	}
}
