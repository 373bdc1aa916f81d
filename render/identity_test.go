package render

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/render/vrrp"
)

// TestIdentities reads identities from rendered files, and from files that others wrote.
func TestIdentities(t *testing.T) {
	original, err := os.ReadFile("testdata/original/keepalived.conf")
	if err != nil {
		t.Fatal(err)
	}
	const six = "virtualIPs: [192.168.3.240, \"2001:db8:3::240\"]\n"
	for name, c := range map[string]struct {
		text string
		want []vrrp.Identity
	}{
		"standard": {rendered(t, KeepalivedConfig, vip4+oneService),
			[]vrrp.Identity{{Family: api.IPv4, Version: 3, RouterID: 240, Addresses: 1, Lenient: true, Period: 100 * time.Millisecond}}},
		"classic": {rendered(t, KeepalivedConfig, vip4+"profile: classic\n"+oneService),
			[]vrrp.Identity{{Family: api.IPv4, Version: 2, RouterID: 1, Interval: time.Second, Addresses: 1, Period: time.Second}}},
		"the original": {string(original),
			[]vrrp.Identity{{Family: api.IPv4, Version: 2, RouterID: 1, Interval: time.Second, Addresses: 1, Period: time.Second}}},
		"two families, unicast": {rendered(t, KeepalivedConfig, six+twoNodes+"vrrp: {transport: unicast, version: 2, advertisementInterval: 2s}\n"+oneService),
			[]vrrp.Identity{{Family: api.IPv4, Version: 2, RouterID: 240, Unicast: true, Interval: 2 * time.Second, Addresses: 1, Lenient: true, Period: 2 * time.Second},
				{Family: api.IPv6, Version: 3, RouterID: 240, Unicast: true, Addresses: 1, Lenient: true, Period: 2 * time.Second}}},
		"by hand": {`! a comment
global_defs { # {
  vrrp_version 3
  vrrp_skip_check_adv_addr off
}
vrrp_instance b{
  virtual_router_id 7
  advert_int 0.25
  track_script { x }
  virtual_ipaddress {
    10.0.0.1/24 dev eth0
    10.0.0.2
  }
  virtual_ipaddress_excluded { 10.0.0.3
  }
}
vrrp_instance half {
  virtual_router_id 8
}
virtual_server 10.0.0.9 80 { virtual_router_id 9
}`, []vrrp.Identity{{Family: api.IPv4, Version: 3, RouterID: 7, Addresses: 2, Period: 250 * time.Millisecond}}},
		"nothing": {"}}}\n", nil},
	} {
		if diff := cmp.Diff(c.want, vrrp.Identities([]byte(c.text))); diff != "" {
			t.Errorf("%s (-want +got):\n%s\n%s", name, diff, c.text)
		}
	}
}

// TestFormer checks which changes a peer that is not changed yet would not accept, from a master and from a backup.
func TestFormer(t *testing.T) {
	of := func(yaml string) []vrrp.Identity {
		return vrrp.Identities([]byte(rendered(t, KeepalivedConfig, yaml+oneService)))
	}
	const more, classic = "virtualIPs: [192.168.3.240, 192.168.3.241]\n", "profile: classic\n"
	for _, c := range []struct {
		a, b           string
		master, backup string // the former identities, on a master and on a backup; "=" for the same
	}{
		{vip4, vip4 + "vrrp: {priority: 100, advertisementInterval: 1s, instanceName: other}\n", "", ""},
		{vip4, more + "vrrp: {routerID: 240}\n", "", "router 240, version 3, IPv4, multicast, with 1 addresses"},
		{vip4, vip4 + "vrrp: {routerID: 7}\n", "router 240, version 3, IPv4, multicast", "="},
		{vip4, vip4 + "vrrp: {version: 2}\n", "router 240, version 3, IPv4, multicast", "="},
		{vip4 + classic, vip4, "router 1, version 2, IPv4, multicast", "="},
		{vip4 + twoNodes + "vrrp: {transport: unicast}\n", vip4 + twoNodes, "router 240, version 3, IPv4, unicast", "="},
		{classic + vip4, classic + more + "vrrp: {advertisementInterval: 2s}\n", "router 1, version 2, IPv4, multicast, every 1s", "="},
		{classic + vip4, classic + more, "router 1, version 2, IPv4, multicast, every 1s, with 1 addresses", "="},
		{classic + vip4, classic + vip4 + "vrrp: {priority: 7, check: {fall: 9}}\n", "", ""},
		{vip4, "virtualIPs: [192.168.3.240, \"2001:db8:3::240\"]\nvrrp: {routerID: 240}\n", "", ""},
	} {
		for _, master := range []bool{true, false} {
			want := c.master
			if !master && c.backup != "=" {
				want = c.backup
			}
			got := ""
			for _, id := range vrrp.Former(of(c.a), of(c.b), master) {
				got += id.String()
			}
			if got != want {
				t.Errorf("%q to %q, master %t: %q, want %q", c.a, c.b, master, got, want)
			}
		}
	}
}
