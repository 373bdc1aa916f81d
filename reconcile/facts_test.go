package reconcile_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/render"
)

const nodes = `nodes:
- {name: lb1, addresses: [198.51.100.11], interface: eth7}
- {name: lb2, addresses: [198.51.100.12]}
`

// of returns an interface with addresses.
func of(name string, addresses ...string) host.Interface {
	i := host.Interface{Name: name}
	for _, address := range addresses {
		i.Prefixes = append(i.Prefixes, netip.MustParsePrefix(address))
	}
	return i
}

// facts returns the facts in short: node, interface, subnets.
func facts(f render.Facts) string {
	var subnets []string
	for _, s := range f.Subnets {
		subnets = append(subnets, s.String())
	}
	return strings.Join([]string{f.Node, f.Interface, strings.Join(subnets, " ")}, "|")
}

func TestFactsOfTheNetwork(t *testing.T) {
	kept := func(h *fake.Host) { // the memory of an earlier run
		h.Put("/var/lib/rlb/memory.json", `{"facts": {"node": "lb2", "interface": "eth5", "subnets": ["198.51.100.0/25"]}, "files": {}, "units": {}, "held": {}}`, 0o600)
	}
	for name, test := range map[string]struct {
		spec  string // appended to the small spec
		net   []host.Interface
		setup func(h *fake.Host)
		given render.Facts
		want  string // facts or error
		notes int
	}{
		"interface by subnet":               {net: []host.Interface{of("eth0", "192.0.2.1/24"), of("eth1", "198.51.100.11/24")}, want: "|eth1|198.51.100.0/24"},
		"of the spec":                       {spec: "vrrp: {interface: eth0}\n", net: []host.Interface{of("eth0", "192.0.2.1/24"), of("eth1", "198.51.100.11/24")}, want: "|eth0|192.0.2.0/24"},
		"of the flags":                      {spec: "vrrp: {interface: eth0}\n", net: []host.Interface{of("eth1", "198.51.100.11/24")}, given: render.Facts{Interface: "eth1"}, want: "|eth1|198.51.100.0/24"},
		"node by address":                   {spec: nodes, net: []host.Interface{of("eth1", "198.51.100.12/24")}, want: "lb2|eth1|198.51.100.0/24"},
		"node has its own interface":        {spec: nodes, net: []host.Interface{of("eth7", "198.51.100.11/24")}, want: "lb1|eth7|198.51.100.0/24"},
		"node of the flags":                 {spec: nodes, net: []host.Interface{of("eth7", "198.51.100.12/24")}, given: render.Facts{Node: "lb1"}, want: "lb1|eth7|198.51.100.0/24"},
		"no such node":                      {spec: nodes, given: render.Facts{Node: "lb3"}, want: `nodes: cannot find node "lb3" in the spec`},
		"node in a spec without":            {net: []host.Interface{of("eth1", "198.51.100.12/24")}, given: render.Facts{Node: "lb3"}, want: `nodes: cannot find node "lb3" in the spec: it has no nodes`},
		"a virtual IP held is no subnet":    {net: []host.Interface{of("eth1", "198.51.100.11/25", "198.51.100.10/24", "198.51.100.10/32")}, want: "|eth1|198.51.100.0/25"},
		"several subnets, sorted, each one": {net: []host.Interface{of("eth1", "198.51.100.11/24", "192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64")}, want: "|eth1|192.0.2.0/24 198.51.100.0/24 2001:db8::/64"},

		"kept: network is not up":             {spec: nodes, net: []host.Interface{of("lo", "127.0.0.1/8")}, setup: kept, want: "lb2|eth5|198.51.100.0/25"},
		"kept: only IPv6 is up":               {net: []host.Interface{of("eth5", "fe80::1/64")}, setup: kept, want: "|eth5|198.51.100.0/25 fe80::/64"},
		"kept: IPv6 and a VIP are up":         {net: []host.Interface{of("eth5", "fe80::1/64", "198.51.100.10/24")}, setup: kept, want: "|eth5|198.51.100.0/25 fe80::/64"},
		"kept: only IPv6, on another one":     {spec: "vrrp: {interface: eth9}\n", net: []host.Interface{of("eth9", "fe80::1/64")}, setup: kept, want: "|eth9|fe80::/64"},
		"kept: no nodes":                      {net: nil, setup: kept, want: "|eth5|198.51.100.0/25"},
		"kept, but the host tells":            {spec: nodes, net: []host.Interface{of("eth7", "198.51.100.11/24")}, setup: kept, want: "lb1|eth7|198.51.100.0/24"},
		"kept subnets of another interface":   {spec: "vrrp: {interface: eth9}\n", net: []host.Interface{of("eth9")}, setup: kept, want: "vrrp.interface: cannot tell the subnet of interface eth9: it has no address"},
		"kept node that is gone":              {spec: strings.ReplaceAll(nodes, "lb2", "lb3"), setup: kept, want: "nodes: cannot tell which of the spec's nodes this is: it holds none of their addresses, only no interface with an address"},
		"nothing tells the interface":         {net: []host.Interface{of("lo", "127.0.0.1/8"), of("eth1", "192.0.2.1/24")}, want: "virtualIPs[0]: cannot tell the interface of the virtual IPs: no subnet holds 198.51.100.10, there is only eth1 (192.0.2.1/24); name it as vrrp.interface"},
		"interface that is not there":         {spec: "vrrp: {interface: eth9}\n", net: []host.Interface{of("eth1", "192.0.2.1/24")}, want: "vrrp.interface: cannot find interface eth9 on this host, there is only eth1 (192.0.2.1/24)"},
		"a VIP that is its own address":       {net: []host.Interface{of("eth1", "198.51.100.10/24", "fe80::1/64")}, want: "virtualIPs[0]: 198.51.100.10 is this host's own address on eth1: a virtual IP is one that no machine has"},
		"kept, and a VIP alone":               {net: []host.Interface{of("eth5", "198.51.100.10/24")}, setup: kept, want: "|eth5|198.51.100.0/25"},
		"assumed":                             {given: render.Facts{}, net: []host.Interface{of("eth1", "192.0.2.1/24")}, want: "assume |eth0|198.51.100.0/24", notes: 2},
		"another machine's eth0":              {spec: "vrrp: {interface: eth0}\n", net: []host.Interface{of("eth0", "192.0.2.1/24")}, want: "assume |eth0|198.51.100.0/24", notes: 1},
		"another machine's, by flag":          {given: render.Facts{Interface: "eth0"}, net: []host.Interface{of("eth0", "192.0.2.1/24")}, want: "assume |eth0|198.51.100.0/24", notes: 1},
		"another machine's, of the node":      {spec: nodes, given: render.Facts{Node: "lb1"}, net: []host.Interface{of("eth7", "192.0.2.1/24")}, want: "assume lb1|eth7|198.51.100.0/24", notes: 1},
		"a machine of the same subnet":        {given: render.Facts{Interface: "eth0"}, net: []host.Interface{of("eth0", "198.51.100.77/25")}, want: "assume |eth0|198.51.100.0/25"},
		"assumed node":                        {spec: nodes, net: []host.Interface{of("eth1", "192.0.2.1/24")}, want: "assume lb1|eth7|198.51.100.0/24", notes: 2},
		"nothing to assume on one of its own": {spec: nodes, net: []host.Interface{of("eth1", "198.51.100.12/24")}, want: "assume lb2|eth1|198.51.100.0/24"},
	} {
		t.Run(name, func(t *testing.T) {
			h := fake.New()
			h.Net = test.net
			if test.setup != nil {
				test.setup(h)
			}
			adminInstalls(h, "haproxy", "keepalived")
			want, assume := strings.CutPrefix(test.want, "assume ")
			finder := plan.FactFinder{Observer: h, Given: test.given, Assume: assume}
			found, notes, err := finder.Find(t.Context(), &parse(t, spec+test.spec).Spec)
			got := facts(found)
			if err != nil {
				got = err.Error()
			}
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if len(notes) != test.notes {
				t.Errorf("notes %q, want %d", notes, test.notes)
			}
		})
	}
}

func TestFactsOfThePrograms(t *testing.T) {
	for name, test := range map[string]struct {
		haproxy, keepalived string // lines of their files in /etc/default
		given               render.Facts
		want                string // paths or error
	}{
		"usual":          {want: "/etc/haproxy/haproxy.cfg /etc/keepalived/keepalived.conf"},
		"CONFIG and -f":  {haproxy: `CONFIG="/srv/h"`, keepalived: `DAEMON_ARGS="-D -f /srv/k"`, want: "/srv/h /srv/k"},
		"-f joined":      {keepalived: "DAEMON_ARGS=-f/srv/k", want: "/etc/haproxy/haproxy.cfg /srv/k"},
		"--use-file":     {keepalived: "DAEMON_ARGS='--use-file /srv/k -D'", want: "/etc/haproxy/haproxy.cfg /srv/k"},
		"--use-file=":    {keepalived: "DAEMON_ARGS=--use-file=/srv/k", want: "/etc/haproxy/haproxy.cfg /srv/k"},
		"other options":  {keepalived: "DAEMON_ARGS='--dont-fork -D --flush'", want: "/etc/haproxy/haproxy.cfg /etc/keepalived/keepalived.conf"},
		"flags":          {haproxy: "CONFIG=/srv/h", given: render.Facts{HAProxyConfig: "/a", KeepalivedConfig: "/b"}, want: "/a /b"},
		"not absolute":   {haproxy: "CONFIG=h.cfg", want: `cannot manage the configuration that the unit's environment names: "h.cfg" is no absolute path`},
		"nothing behind": {keepalived: "DAEMON_ARGS='-D -f'", want: "/etc/haproxy/haproxy.cfg /etc/keepalived/keepalived.conf"},
	} {
		t.Run(name, func(t *testing.T) {
			h := fake.New()
			adminInstalls(h, "haproxy", "keepalived")
			h.Put("/etc/default/haproxy", test.haproxy+"\n", 0o644)
			h.Put("/etc/default/keepalived", test.keepalived+"\n", 0o644)
			found, _, err := plan.FactFinder{Observer: h, Given: test.given}.Find(t.Context(), &parse(t, spec).Spec)
			got := found.HAProxyConfig + " " + found.KeepalivedConfig
			if err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// TestRendering: Rendering does not ask apt, and reads only the facts of the host. A program that is not installed is
// assumed to have the version of the machine's release.
func TestRendering(t *testing.T) {
	for release, want := range map[string]string{"11": "2.2.9 1:2.1.5", "12": "2.6.12 1:2.2.7", "": "3.0.11 1:2.3.3"} {
		h := fake.New()
		h.Put("/etc/os-release", "ID=debian\nVERSION_ID=\""+release+"\"\n", 0o644)
		for _, method := range []string{"Candidates", "Firewall", "Handover", "HandoverRefused", "Additions", "Offers", "RunningServers"} {
			h.FailMethod(method, errors.New("this runs a program"))
		}
		look, err := plan.FactFinder{Observer: h, AskNoPrograms: true}.Rendering(t.Context(), &parse(t, spec).Spec)
		facts := look.Desired.Facts
		if got := string(facts.HAProxyVersion + " " + facts.KeepalivedVersion); err != nil || got != want || len(look.Notes) != 2 {
			t.Errorf("Debian %s: versions %s, want %s; %v, notes %q", release, got, want, err, look.Notes)
		}
		if len(look.Checkable()) == 0 {
			t.Error("nothing is to be checked")
		}
	}
	h := fake.New()
	adminInstalls(h, "haproxy", "keepalived")
	pinned := parse(t, spec+"packages: {haproxy: {version: '2.4.*'}}\n")
	look, err := plan.FactFinder{Observer: h, AskNoPrograms: true}.Rendering(t.Context(), &pinned.Spec)
	if err != nil || len(look.Checkable()) != len(look.Desired.Files)-1 {
		t.Errorf("haproxy is to check what is for another version: %v", err)
	}
}

func TestFactsOfTheVersions(t *testing.T) {
	const pins = "packages: {haproxy: {version: '2.4.*'}, keepalived: {version: '1:2.1.*'}}\n"
	for name, test := range map[string]struct {
		spec  string
		setup func(h *fake.Host)
		given render.Facts
		want  []string
		notes int
	}{
		"installed": {setup: func(h *fake.Host) {
			adminInstalls(h, "haproxy", "keepalived")
			h.Archive["haproxy"] = []string{"9.9.9"}
		}, want: []string{"2.6.12-1+deb12u4", "1:2.2.7-1+b2"}},
		"offered":                            {setup: func(*fake.Host) {}, want: []string{"2.6.12-1+deb12u4", "1:2.2.7-1+b2"}, notes: 2},
		"pinned, and something else offered": {spec: pins, setup: func(*fake.Host) {}, want: []string{"2.4", "1:2.1"}},
		"pinned, lists were never fetched":   {spec: pins, setup: func(h *fake.Host) { h.Lists = false }, want: []string{"2.4", "1:2.1"}},
		"nothing tells":                      {setup: func(h *fake.Host) { h.Lists = false }, want: []string{"3.0.11", "1:2.3.3"}, notes: 2},
		"flags":                              {setup: func(*fake.Host) {}, given: render.Facts{HAProxyVersion: "1.8", KeepalivedVersion: "2.0"}, want: []string{"1.8", "2.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := fake.New()
			test.setup(h)
			found, notes, err := plan.FactFinder{Observer: h, Given: test.given}.Find(t.Context(), &parse(t, spec+test.spec).Spec)
			if err != nil || len(notes) != test.notes {
				t.Errorf("error %v, notes %q", err, notes)
			}
			if diff := cmp.Diff(test.want, []string{string(found.HAProxyVersion), string(found.KeepalivedVersion)}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestFactsOfSystemctl: the path of systemctl is the one that exists on the host.
func TestFactsOfSystemctl(t *testing.T) {
	h := fake.New()
	find := func() string {
		found, _, err := plan.FactFinder{Observer: h}.Find(t.Context(), &parse(t, spec).Spec)
		if err != nil {
			t.Fatal(err)
		}
		return found.Systemctl
	}
	if got := find(); got != "/usr/bin/systemctl" {
		t.Errorf("got %s", got)
	}
	h.Put("/bin/systemctl", "", 0o755)
	if got := find(); got != "/bin/systemctl" {
		t.Errorf("got %s", got)
	}
	h.Put("/usr/bin/systemctl", "", 0o755)
	if got := find(); got != "/usr/bin/systemctl" {
		t.Errorf("got %s", got)
	}
}
