package render

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestIdentities reads them from what is rendered, and from what others wrote.
func TestIdentities(t *testing.T) {
	original, err := os.ReadFile("testdata/original/keepalived.conf")
	if err != nil {
		t.Fatal(err)
	}
	const six = "virtualIPs: [192.168.3.240, \"2001:db8:3::240\"]\n"
	for name, c := range map[string]struct {
		text string
		want []Identity
	}{
		"standard": {rendered(t, KeepalivedConfig, vip4+oneService),
			[]Identity{{Family: IPv4, Version: 3, RouterID: 240, Period: 100 * time.Millisecond}}},
		"classic": {rendered(t, KeepalivedConfig, vip4+"profile: classic\n"+oneService),
			[]Identity{{Family: IPv4, Version: 2, RouterID: 1, Interval: time.Second, Addresses: 1, Period: time.Second}}},
		"the original": {string(original),
			[]Identity{{Family: IPv4, Version: 2, RouterID: 1, Interval: time.Second, Addresses: 1, Period: time.Second}}},
		"two families, unicast": {rendered(t, KeepalivedConfig, six+twoNodes+"vrrp: {transport: unicast, version: 2, advertisementInterval: 2s}\n"+oneService),
			[]Identity{{Family: IPv4, Version: 2, RouterID: 240, Unicast: true, Interval: 2 * time.Second, Period: 2 * time.Second},
				{Family: IPv6, Version: 3, RouterID: 240, Unicast: true, Period: 2 * time.Second}}},
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
}`, []Identity{{Family: IPv4, Version: 3, RouterID: 7, Addresses: 2, Period: 250 * time.Millisecond}}},
		"nothing": {"}}}\n", nil},
	} {
		if diff := cmp.Diff(c.want, Identities([]byte(c.text))); diff != "" {
			t.Errorf("%s (-want +got):\n%s\n%s", name, diff, c.text)
		}
	}
}

// TestFormer: what a peer that is not changed yet would not understand.
func TestFormer(t *testing.T) {
	of := func(yaml string) []Identity {
		return Identities([]byte(rendered(t, KeepalivedConfig, yaml+oneService)))
	}
	for _, c := range []struct {
		a, b string
		same bool // what they have in common
	}{
		{vip4, vip4 + "vrrp: {priority: 100, advertisementInterval: 1s, instanceName: other}\n", true},
		{vip4, "virtualIPs: [192.168.3.240, 192.168.3.241]\nvrrp: {routerID: 240}\n", true},
		{vip4, vip4 + "vrrp: {routerID: 7}\n", false},
		{vip4, vip4 + "vrrp: {version: 2}\n", false},
		{vip4, vip4 + "profile: classic\n", false},
		{vip4 + twoNodes, vip4 + twoNodes + "vrrp: {transport: unicast}\n", false},
		{"profile: classic\n" + vip4, "profile: classic\n" + vip4 + "vrrp: {advertisementInterval: 2s}\n", false},
		{"profile: classic\n" + vip4, "profile: classic\nvirtualIPs: [192.168.3.240, 192.168.3.241]\n", false},
		{"profile: classic\n" + vip4, "profile: classic\n" + vip4 + "vrrp: {priority: 7, check: {fall: 9}}\n", true},
		{vip4, "virtualIPs: [192.168.3.240, \"2001:db8:3::240\"]\nvrrp: {routerID: 240}\n", true},
	} {
		if got := len(Former(of(c.a), of(c.b))) == 0; got != c.same {
			t.Errorf("%q and %q: %v\n%v\n%v", c.a, c.b, got, of(c.a), of(c.b))
		}
	}
}
