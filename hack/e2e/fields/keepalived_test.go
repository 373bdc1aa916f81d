package fields

import (
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"testing"

	"rlb.dev/rlb-agent/render"
)

// TestOtherInterface: a virtual IP lies on the interface that the spec names for it, and without the link of that one the
// host holds none at all.
func TestOtherInterface(t *testing.T) {
	inTrees(t, func(t *testing.T, tree string) {
		for _, name := range []string{"eth0", "eth1"} {
			ip(t, "link", "add", name, "type", "veth", "peer", "name", "peer-"+name)
			ip(t, "link", "set", name, "up")
			ip(t, "link", "set", "peer-"+name, "up")
		}
		ip(t, "address", "add", "192.0.2.1/24", "dev", "eth0")
		for name, vips := range map[string]string{
			"one family":   "[192.0.2.10/24, {address: 198.51.100.10/24, interface: eth1}]",
			"two families": `[192.0.2.10/24, {address: 198.51.100.10/24, interface: eth1}, "2001:db8::10/64"]`,
		} {
			t.Run(name, func(t *testing.T) {
				yaml := "apiVersion: rlb.dev/v1\nkind: LoadBalancerSpec\nvirtualIPs: " + vips + `
vrrp: {interface: eth0}
services: [{name: web, port: 80, servers: [{address: 192.0.2.21}]}]
`
				write(t, tree, "etc/keepalived/keepalived.conf", rendered(t, tree, yaml, render.KeepalivedConfig))
				write(t, tree, "run/rlb/.keep", "")
				write(t, tree, "var/lib/rlb/.keep", "")
				start(t, tree, "keepalived", "-n", "-l", "-f", "/etc/keepalived/keepalived.conf")
				both := func() bool { return holds("eth0", "192.0.2.10") && holds("eth1", "198.51.100.10") }
				eventually(t, "it holds both", both)
				ip(t, "link", "set", "peer-eth1", "down")
				eventually(t, "it gives both up", func() bool { return !holds("eth0", "192.0.2.10") && !holds("eth1", "198.51.100.10") })
				ip(t, "link", "set", "peer-eth1", "up")
				eventually(t, "it holds both again", both)
			})
		}
	})
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v\n%s", args, err, out)
	}
}

// holds says whether an interface has an address.
func holds(name, address string) bool {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return false
	}
	addrs, err := i.Addrs()
	return err == nil && slices.ContainsFunc(addrs, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr() == netip.MustParseAddr(address)
	})
}
