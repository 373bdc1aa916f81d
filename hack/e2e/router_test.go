package e2e

import (
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// Whatever changes the virtual router, on whichever host first and with any delay between: never two holders, and none
// for no longer than a failover.
func TestRouterChanges(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair(specOf(nodes), lab.Trixie, lab.Bookworm)
	withDaemon(a, b)

	settled := func(h *host) bool {
		out, err := h.Run(t.Context(), agent, "diff")
		return err == nil && out == "" && h.is("active", "keepalived", "active")
	}
	const standby, active, both = "standby first", "active first", "both at once"
	for _, c := range []struct {
		name, more, order string
		vips              string
		none              time.Duration // most, beyond which it is worse than a failover
	}{
		{"a virtual IP more", "", active, vip + ", 198.51.100.101", 0},
		{"a virtual IP less", "", standby, "", 0},
		{"a virtual IP more", "", standby, vip + ", 198.51.100.101", 0},
		{"a virtual IP less", "", active, "", 0},
		{"the first one of IPv6", "", active, vip + ", 2001:db8::100", time.Second}, // keepalived groups them anew
		{"none of IPv6", "", active, "", 0},
		{"the first one of IPv6", "", standby, vip + ", 2001:db8::100", time.Second},
		{"none of IPv6", "", standby, "", 0},
		{"another main one, so another router id", "", standby, "198.51.100.101, " + vip, time.Second},
		{"the former main one", "", active, "", time.Second},
		{"another interval", "vrrp: {advertisementInterval: 200ms}", active, "", 0},
		{"another router id", "vrrp: {routerID: 7}", standby, "", time.Second},
		{"another router id", "vrrp: {routerID: 8}", active, "", time.Second},
		{"another router id", "vrrp: {routerID: 9}", both, "", time.Second},
		{"unicast", "vrrp: {routerID: 9, transport: unicast}", standby, "", time.Second},
		{"classic", "profile: classic", standby, "", 5 * time.Second},
		{"standard", "", active, "", 5 * time.Second},
	} {
		t.Run(c.name+", "+c.order, func(t *testing.T) {
			first, second := w.roles(a, b)
			if c.order == standby {
				first, second = second, first
			}
			spec := specOf(nodes, c.more)
			if c.vips != "" {
				spec = strings.Replace(spec, vip, c.vips, 1)
			}
			var seen holders
			report := w.probe(0, func() {
				seen = w.holdersDuring(a, b, func() {
					first.writeSpec(spec)
					if c.order != both {
						first.sh("systemctl reload rlb-agent") // asked to, it does not let its peer go first
						time.Sleep(1500 * time.Millisecond)
					}
					second.writeSpec(spec)
					if c.order != both {
						second.sh("systemctl reload rlb-agent")
					}
					w.eventually("both are as the spec says", 20*time.Second, func() bool { return settled(a) && settled(b) })
					w.eventually("one holds the virtual IP", 10*time.Second, func() bool { return a.active() != b.active() })
					time.Sleep(300 * time.Millisecond)
				})
			})
			t.Logf("two holders for %v, none for %v; client: gap %v, %d of %d failed", seen.two, seen.none, report.Gap, report.Failed, report.Total)
			if seen.two > 100*time.Millisecond && report.Late < stall {
				t.Errorf("two holders for %v", seen.two)
			}
			if seen.none > c.none+50*time.Millisecond && report.Late < stall {
				t.Errorf("no holder for %v", seen.none)
			}
		})
	}

	// An edit that is taken back: who waits for its peer is at once where it was.
	_, other := w.roles(a, b)
	waits := func() bool {
		return other.is("active", "rlb-rejoin", "active") && other.is("active", "keepalived", "inactive")
	}
	seen := w.holdersDuring(a, b, func() {
		other.writeSpec(specOf(nodes, "vrrp: {routerID: 10}"))
		other.sh("systemctl reload rlb-agent")
		w.eventually("it waits for its peer", 10*time.Second, waits)
		other.writeSpec(specOf(nodes))
		other.sh("systemctl reload rlb-agent")
		w.eventually("it is where it was", 10*time.Second, func() bool { return settled(other) })
		time.Sleep(500 * time.Millisecond)
	})
	if seen.two > 0 || seen.none > 50*time.Millisecond {
		t.Errorf("taken back: two holders for %v, none for %v", seen.two, seen.none)
	}
}
