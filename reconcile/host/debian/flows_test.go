package debian

import (
	"net/netip"
	"slices"
	"testing"

	"rlb.dev/rlb-agent/reconcile/host"
)

// TestParseFlows uses the output of nft 1.0.6 and 1.1.3: with times, without times, and empty.
func TestParseFlows(t *testing.T) {
	of := func(client, server string) host.Flow {
		return host.Flow{Client: netip.MustParseAddrPort(client), Server: netip.MustParseAddrPort(server)}
	}
	for name, test := range map[string]struct {
		text string
		want []host.Flow
	}{
		"two": {"table ip rlb_handover {\n\tset forwarded {\n\t\ttype ipv4_addr . inet_service . ipv4_addr . inet_service\n\t\tsize 65536\n\t\tflags dynamic,timeout\n\t\ttimeout 1m\n" +
			"\t\telements = { 198.51.100.50 . 40000 . 198.51.100.100 . 6443 timeout 1m expires 59s996ms,\n\t\t\t     198.51.100.50 . 40002 . 198.51.100.100 . 6443 expires 1s }\n\t}\n}\n",
			[]host.Flow{of("198.51.100.50:40000", "198.51.100.100:6443"), of("198.51.100.50:40002", "198.51.100.100:6443")}},
		"IPv6":            {"\t\telements = { 2001:db8::50 . 40000 . 2001:db8::100 . 6443 }\n", []host.Flow{of("[2001:db8::50]:40000", "[2001:db8::100]:6443")}},
		"none":            {"table ip rlb_handover {\n\tset forwarded {\n\t\tsize 65536\n\t}\n}\n", nil},
		"no set":          {"", nil},
		"something else":  {"\t\telements = { eth0, 1 . 2 . 3 . 4, a . 1 . b . 2 . c . 3, 198.51.100.50 . 400000 . 198.51.100.100 . 6443 }", nil},
		"ended too early": {"\t\telements = { 198.51.100.50 . 40000 . 198.51.100.100 .", nil},
	} {
		if got := parseFlows(test.text); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
