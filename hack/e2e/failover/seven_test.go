package failover

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
)

// TestSevenByUnicast: of seven hosts with unicast advertisements, exactly one holds the virtual IP, whichever of them
// are down and for whatever reason, until one is left. Hosts that come back do not preempt it.
func TestSevenByUnicast(t *testing.T) {
	const n = 7
	w := e2e.New(t)
	releases := slices.Repeat([]lab.Release{lab.Trixie, lab.Bookworm}, n)[:n]
	s := stacked{w, w.Hosts(true, releases...)}
	nodes := "nodes:\n"
	for i := range n {
		nodes += fmt.Sprintf("- {name: lb%d, addresses: [198.51.100.%d]}\n", i+1, 11+i)
	}
	for _, h := range s.hosts {
		h.Apply(e2e.Spec(nodes, "vrrp: {transport: unicast}"))
	}
	e2e.StartDaemon(s.hosts...)
	oneHolds := func() bool { return s.holder() != nil }
	w.Eventually("one of seven holds the virtual IP", 15*time.Second, oneHolds)
	w.Eventually("the holder knows six standbys", 15*time.Second, func() bool {
		st, _ := s.holder().Status()
		return len(st.Peers) == n-1 && st.Is("PeerInSync") && st.Is("Redundant")
	})

	var gone []*e2e.Host
	for _, leave := range []struct {
		name string
		gap  time.Duration // of a client, at most
		do   func(h *e2e.Host)
	}{
		{"drained", 150 * time.Millisecond, func(h *e2e.Host) { drainHost(w, h) }},
		{"crashed", time.Second, func(h *e2e.Host) { h.Crash() }},
		{"agent and keepalived stopped", 150 * time.Millisecond, func(h *e2e.Host) { h.Shell("systemctl stop rlb-agent; systemctl stop keepalived") }},
		{"link cut", time.Second, func(h *e2e.Host) {
			if err := h.CutLink(); err != nil {
				t.Fatal(err)
			}
		}},
		{"HAProxy stopped", 150 * time.Millisecond, func(h *e2e.Host) {
			h.Shell("systemctl stop rlb-agent; systemctl stop haproxy; systemctl stop keepalived")
		}},
		{"torn down", 150 * time.Millisecond, func(h *e2e.Host) { h.Must("rlb-agent", "teardown", "--yes") }},
	} {
		holder := s.holder()
		gone = append(gone, holder)
		s.hosts = slices.DeleteFunc(s.hosts, func(h *e2e.Host) bool { return h == holder })
		var seen string
		report := w.Probe(500*time.Millisecond, func() {
			held := s.holders(func() {
				leave.do(holder)
				w.Eventually("another one holds the virtual IP", 3*time.Second, oneHolds)
				time.Sleep(300 * time.Millisecond)
			})
			if seen = held.String(); held.Longest(2) > twoHolders {
				t.Errorf("%s: two of those that are left hold it: %s", leave.name, seen)
			}
		})
		t.Logf("%s %s, then %s holds the virtual IP: gap %v; of those that are left %s", holder.Name(), leave.name, s.holder().Name(), report.Gap, seen)
		if err := e2e.Within(report, leave.gap); err != nil {
			t.Errorf("%s: %v", leave.name, err)
		}
	}
	last := s.holder()
	for _, h := range gone {
		if !h.Up() {
			boot(w, h)
		}
	}
	if err := gone[3].RestoreLink(); err != nil {
		t.Fatal(err)
	}
	undrainHost(w, gone[0])
	for _, h := range gone {
		h.Shell("systemctl start rlb-agent")
	}
	s.hosts = append(s.hosts, gone...)
	w.Eventually("all are back, and the last one holds the virtual IP", 30*time.Second, func() bool {
		return s.holder() == last && !slices.ContainsFunc(s.hosts, func(h *e2e.Host) bool { return h != last && !backup(h) })
	})
	w.Serves("cp1", "cp2", "cp3")
}
