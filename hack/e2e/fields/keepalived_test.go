package fields

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/render"
)

// TestOtherInterface: a virtual IP is on the interface that the spec names for it; if that interface has no link, the
// host holds no virtual IP at all.
func TestOtherInterface(t *testing.T) {
	inTreesAtOnce(t, func(t *testing.T, tree string) {
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
				both := func() bool { return network{}.holds("eth0", "192.0.2.10") && network{}.holds("eth1", "198.51.100.10") }
				eventually(t, "it holds both", both)
				ip(t, "link", "set", "peer-eth1", "down")
				eventually(t, "it gives both up", func() bool {
					return !network{}.holds("eth0", "192.0.2.10") && !network{}.holds("eth1", "198.51.100.10")
				})
				ip(t, "link", "set", "peer-eth1", "up")
				eventually(t, "it holds both again", both)
			})
		}
	})
}

// TestNotify: a change of the role runs its program once, with the arguments of the spec, even if each of two families
// has an instance.
func TestNotify(t *testing.T) {
	inTreesAtOnce(t, func(t *testing.T, tree string) {
		ip(t, "link", "add", "eth0", "type", "veth", "peer", "name", "peer")
		ip(t, "link", "set", "eth0", "up")
		ip(t, "link", "set", "peer", "up")
		ip(t, "address", "add", "192.0.2.1/24", "dev", "eth0")
		ip(t, "address", "add", "fe80::1/64", "dev", "eth0", "nodad") // without an address of its own keepalived starts in FAULT
		writeMode(t, tree, "usr/local/bin/told", "#!/bin/sh\nline=$#\nfor word; do line=\"$line<$word>\"; done\necho \"$line\" >>/told\n", 0o755)
		for name, vips := range map[string]string{"one family": "[192.0.2.10/24]", "two families": `[192.0.2.10/24, "2001:db8::10/64"]`} {
			t.Run(name, func(t *testing.T) {
				write(t, tree, "told", "")
				var want []string
				told := func(lines ...string) {
					t.Helper()
					want = append(want, lines...)
					eventually(t, fmt.Sprintf("told %q", want), func() bool {
						data, _ := os.ReadFile(filepath.Join(tree, "told"))
						return slices.Equal(slices.Sorted(slices.Values(strings.Fields(string(data)))), slices.Sorted(slices.Values(want)))
					})
				}
				stop := network{}.keepalived(t, tree, "notify", rendered(t, tree, "apiVersion: rlb.dev/v1\nkind: LoadBalancerSpec\nvirtualIPs: "+vips+`
services: [{name: web, port: 80, servers: [{address: 192.0.2.21}]}]
vrrp:
  notify:
    master: [/usr/local/bin/told, master, --vip=192.0.2.10, "50%", "a@b:c,d+e_f/g.h"]
    backup: [/usr/local/bin/told, backup, "2"]
    fault: [/usr/local/bin/told, fault]
    stop: /usr/local/bin/told
`, render.KeepalivedConfig))
				const master = "4<master><--vip=192.0.2.10><50%><a@b:c,d+e_f/g.h>"
				told("2<backup><2>", master)
				ip(t, "link", "set", "peer", "down")
				told("1<fault>")
				ip(t, "link", "set", "peer", "up")
				told("2<backup><2>", master)
				stop()
				told("0")
			})
		}
	})
}

// TestPreemptDelay: a host of higher priority that returns takes the virtual IP after the delay, not before.
func TestPreemptDelay(t *testing.T) {
	inTreesAtOnce(t, func(t *testing.T, tree string) {
		other := network{}.neighbour(t, tree, "eth0", []string{"192.0.2.1/24"}, []string{"192.0.2.2/24"})
		config := func(priority int, delay time.Duration) string {
			return rendered(t, tree, fmt.Sprintf(`apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [192.0.2.10/24]
vrrp: {priority: %d, preempt: true, preemptDelay: %v}
services: [{name: web, port: 80, servers: [{address: 192.0.2.21}]}]
`, priority, delay), render.KeepalivedConfig)
		}
		const delay = 2 * time.Second
		other.keepalived(t, tree, "lower", config(100, 0))
		took := func(delay time.Duration) time.Duration {
			t.Helper()
			eventually(t, "the lower priority holds it", func() bool { return other.holds("eth0", "192.0.2.10") && !network{}.holds("eth0", "192.0.2.10") })
			began := time.Now()
			stop := network{}.keepalived(t, tree, "higher", config(200, delay))
			eventually(t, "the higher priority takes it", func() bool { return network{}.holds("eth0", "192.0.2.10") })
			took := time.Since(began)
			eventually(t, "the lower priority gives it up", func() bool { return !other.holds("eth0", "192.0.2.10") })
			stop()
			return took
		}
		atOnce, delayed := took(0), took(delay)
		if atOnce >= delay || delayed < delay {
			t.Errorf("it took %v without a delay, %v with one of %v", atOnce, delayed, delay)
		}
		t.Logf("%v, %v", atOnce, delayed)
	})
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	network{}.ip(t, args...)
}
