package render

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNameservers(t *testing.T) {
	const text = "# comment\nnameserver 192.168.3.1\n nameserver\t2001:db8::53 # near\nnameserver fe80::1%eth0\n" +
		"nameserver\nnameserver junk\nsearch example.org\nnameserver ::ffff:10.0.0.1\n"
	var got []string
	for _, addr := range Nameservers([]byte(text)) {
		got = append(got, addr.String())
	}
	if diff := cmp.Diff([]string{"192.168.3.1", "2001:db8::53", "10.0.0.1"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestResolvers(t *testing.T) {
	const names = "virtualIPs: [\"2001:db8::240\", 192.168.3.240]\nservices:\n- {name: api, port: 80, servers: [{address: cp1.example.org}]}\n"
	for _, c := range []struct {
		name, nameservers string
		haproxy           Version
		want              []string
	}{
		{"none known", "", stable.haproxy, nil},
		{"both families", "192.168.3.1 2001:db8::53", stable.haproxy, []string{"nameserver dns1 192.168.3.1:53", "nameserver dns2 [2001:db8::53]:53"}},
		{"as many as libc uses", "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4", stable.haproxy,
			[]string{"nameserver dns1 10.0.0.1:53", "nameserver dns2 10.0.0.2:53", "nameserver dns3 10.0.0.3:53"}},
		{"old: near ones", "10.0.0.1 192.168.3.1 127.0.0.53", "2.2.9", []string{"nameserver dns1 192.168.3.1:53", "nameserver dns2 127.0.0.53:53"}},
		{"old: none near", "10.0.0.1", "2.2.9", nil},
	} {
		spec := parse(t, shortest+names)
		facts := factsFor(spec, stable)
		facts.HAProxyVersion, facts.Nameservers = c.haproxy, nil
		for _, text := range strings.Fields(c.nameservers) {
			facts.Nameservers = append(facts.Nameservers, netip.MustParseAddr(text))
		}
		text := string(fileOf(t, files(t, spec, facts), HAProxyConfig).Data)
		if diff := cmp.Diff(c.want, linesOf(text, "nameserver")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if used := strings.Contains(text, " resolvers rlb resolve-prefer ipv6\n"); used != (c.want != nil) {
			t.Errorf("%s: resolvers used: %v\n%s", c.name, used, text)
		}
		if !strings.Contains(text, " init-addr last,libc,none") || !strings.Contains(text, "    setenv RES_OPTIONS ") {
			t.Errorf("%s: the start hangs on DNS:\n%s", c.name, text)
		}
	}
	if text := rendered(t, HAProxyConfig, "virtualIPs: [192.168.3.240]\n"+oneService); strings.Contains(text, "resolv") || strings.Contains(text, "setenv") {
		t.Errorf("DNS without a name:\n%s", text)
	}
}
