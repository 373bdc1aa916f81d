package edit

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// TestRouterChanges: whatever changes the virtual router, on whichever host first and with any delay between, there
// are never two holders, and no holder for at most as long as in a failover.
func TestRouterChanges(t *testing.T) {
	w := e2e.New(t)
	a, b := w.Pair(e2e.Spec(pair.Nodes), lab.Trixie, lab.Bookworm)
	e2e.StartDaemon(a, b)

	settled := func(h *e2e.Host) bool {
		code, _ := h.RunAgent("--once", "--dry-run") // the files alone prove nothing: the reloads come later
		return code == 0 && h.Is("active", "keepalived", "active")
	}
	rest := func(w *e2e.World) {
		w.Helper()
		w.Eventually("both are as the spec says", 20*time.Second, func() bool { return settled(a) && settled(b) })
		time.Sleep(500 * time.Millisecond) // until a reloaded keepalived has its role
		w.Eventually("one holds the virtual IP", 10*time.Second, func() bool { return a.Active() != b.Active() })
	}
	before := e2e.Spec(pair.Nodes) // the spec in force
	const standby, active, both = "standby first", "active first", "both at once"
	for _, c := range []struct {
		name, more, order string
		vips              string
		none              time.Duration // limit, beyond which it is worse than a failover
	}{
		{"a virtual IP more", "", active, pair.VIP + ", 198.51.100.101", 0},
		{"a virtual IP less", "", standby, "", 0},
		{"a virtual IP more", "", standby, pair.VIP + ", 198.51.100.101", 0},
		{"a virtual IP less", "", active, "", 0},
		{"the first one of IPv6", "", active, pair.VIP + ", 2001:db8::100", time.Second}, // keepalived regroups them
		{"none of IPv6", "", active, "", 0},
		{"the first one of IPv6", "", standby, pair.VIP + ", 2001:db8::100", time.Second},
		{"none of IPv6", "", standby, "", 0},
		{"another main one, so another router id", "", standby, "198.51.100.101, " + pair.VIP, time.Second},
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
			w, a, b := w.In(t), a.In(t), b.In(t)
			first, second := w.Roles(a, b)
			if c.order == standby {
				first, second = second, first
			}
			text := e2e.Spec(pair.Nodes, c.more)
			if c.vips != "" {
				text = strings.Replace(text, pair.VIP, c.vips, 1)
			}
			again := false
			w.Judge("the edit", func() (lab.Report, error) {
				if again { // start from the former spec
					first.WriteSpec(before)
					second.WriteSpec(before)
					rest(w)
				}
				again = true
				var seen pair.Holding
				report := w.Probe(0, func() {
					seen = w.HoldersDuring(a, b, func() {
						first.WriteSpec(text)
						if c.order != both {
							first.Shell("systemctl reload rlb-agent") // on SIGHUP it does not let its peer go first
							time.Sleep(1500 * time.Millisecond)
						}
						second.WriteSpec(text)
						if c.order != both {
							second.Shell("systemctl reload rlb-agent")
						}
						rest(w)
						time.Sleep(300 * time.Millisecond)
					})
				})
				t.Logf("%s; client: gap %v, %d of %d failed", seen, report.Gap, report.Failed, report.Total)
				if two, none := seen.Longest(2), seen.Longest(0); two > 100*time.Millisecond || none > c.none+50*time.Millisecond {
					return report, fmt.Errorf("two holders for %v, none for %v", two, none)
				}
				return report, nil
			})
			before = text
		})
	}

	// An edit that is reverted: a host that waits for its peer returns at once to its former state.
	_, other := w.Roles(a, b)
	waits := func() bool {
		return other.Is("active", "rlb-rejoin", "active") && other.Is("active", "keepalived", "inactive")
	}
	seen := w.HoldersDuring(a, b, func() {
		other.WriteSpec(e2e.Spec(pair.Nodes, "vrrp: {routerID: 10}"))
		other.Shell("systemctl reload rlb-agent")
		w.Eventually("it waits for its peer", 10*time.Second, waits)
		other.WriteSpec(e2e.Spec(pair.Nodes))
		other.Shell("systemctl reload rlb-agent")
		w.Eventually("it is where it was", 10*time.Second, func() bool { return settled(other) })
		time.Sleep(500 * time.Millisecond)
	})
	if seen.Longest(2) > 0 || seen.Longest(0) > 50*time.Millisecond {
		t.Errorf("taken back: %s", seen)
	}
}
