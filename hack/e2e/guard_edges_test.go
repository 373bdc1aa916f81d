package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// haproxySays is what the guard last saw of HAProxy.
func (h *host) haproxySays(state string) bool {
	data, _ := h.ReadFile("/run/rlb/guard.json")
	return strings.Contains(string(data), `"haproxy": "`+state+`"`)
}

// changes counts how often keepalived changed its role, and how often the guard took this host out, since it booted.
func (h *host) changes() (roles, faults int) {
	h.w.Helper()
	out := h.sh("journalctl -b --no-pager -o cat -u keepalived -u rlb-agent")
	return strings.Count(out, " STATE"), strings.Count(out, "this host stays out")
}

// Two loads for all cores of the machine. The second keeps everything that is not real-time from them for 250 ms, again
// and again; what ends it has the higher priority.
const (
	busyLoops = `for core in $(seq $(($(nproc) * 2))); do timeout 6 sh -c 'while :; do :; done' & done; wait`
	stalls    = `for i in 1 2 3 4 5; do
		for core in $(seq $(nproc)); do chrt -f 3 timeout 0.25 chrt -f 2 sh -c 'while :; do :; done' & done
		wait; sleep 0.6
	done`
)

// What only looks like a HAProxy that is gone leaves the virtual IP where it is, and one that is worse off than it looks
// gives it away.
func TestGuardEdges(t *testing.T) {
	w := newWorld(t)
	const most = 20
	a, b := w.pair(specOf(nodes, "proxy: {maxConnections: 20}"), lab.Trixie, lab.Bookworm)
	withDaemon(a, b)

	for range 2 { // on either host, and with either HAProxy
		active, standby := w.roles(a, b)

		// Full is not hung.
		var idle []*lab.LongConn
		for len(idle) < most {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			conn, err := w.client.LongConn(ctx, service)
			cancel()
			if err != nil {
				break
			}
			idle = append(idle, conn)
		}
		t.Logf("%d idle clients fill haproxy", len(idle))
		w.eventually("it is seen to be full", 3*time.Second, func() bool { return active.haproxySays("full") })
		w.never("full, it gave the virtual IP away", 3*time.Second, func() bool { return !active.active() || standby.active() || !active.guarded(false) })
		for _, conn := range idle {
			conn.Close()
		}
		w.eventually("it takes connections again", 3*time.Second, func() bool { return active.haproxySays("answers") })
		w.serves("cp1", "cp2", "cp3")

		// Without a file descriptor to spare it accepts nothing.
		limit := func(n string) {
			active.sh("for pid in $(pgrep -P $(systemctl show --value -p MainPID haproxy)); do runuser -u haproxy -- prlimit --pid $pid --nofile=" + n + ": ; done")
		}
		before := active.sh("runuser -u haproxy -- prlimit --pid $(pgrep -n haproxy) --nofile -o SOFT --noheadings")
		report := w.probe(time.Second, func() {
			limit("5")
			w.eventually("out of file descriptors it gives the virtual IP away", 3*time.Second, func() bool { return standby.active() && !active.active() })
		})
		t.Logf("out of file descriptors: gap %v, %d failed", report.Gap, report.Failed)
		if report.Gap > 1500*time.Millisecond && report.Late < stall {
			t.Errorf("out of file descriptors: gap %v", report.Gap)
		}
		limit(strings.TrimSpace(before))
		w.eventually("it is a standby again", 5*time.Second, func() bool { return active.guarded(false) && active.haproxySays("answers") })
		w.never("flaps", 500*time.Millisecond, func() bool { return active.active() || !standby.active() })
		w.eventually("its servers are up again", 5*time.Second, func() bool { code, _ := active.code("status"); return code == 0 })
		active, standby = standby, active

		report = w.probe(time.Second, func() { active.sh("systemctl restart haproxy") })
		_, faults := active.changes()
		t.Logf("haproxy restarted: gap %v, %d failed, moved: %v, faults in all %d", report.Gap, report.Failed, standby.active(), faults)
		if report.Gap > 100*time.Millisecond && report.Late < stall {
			t.Errorf("haproxy restarted: gap %v", report.Gap)
		}
		if report.Errors["connection refused"] > 0 && report.Late < stall {
			t.Errorf("haproxy restarted: %v", report.Errors)
		}
		w.eventually("both take part", 5*time.Second, func() bool { return active.guarded(false) && standby.guarded(false) })
		w.never("flaps", 500*time.Millisecond, func() bool { return active.active() == standby.active() })
	}

	// A machine without a core to spare.
	active, standby := w.roles(a, b)
	for _, load := range []struct {
		name, script string
		on           []*host
	}{
		{"busy", busyLoops, []*host{active, standby}},
		{"stalls", stalls, []*host{active}},
	} {
		for _, h := range load.on {
			w.eventually("keepalived is real-time", 5*time.Second, func() bool {
				return strings.Contains(h.sh("chrt -p $(pgrep -P $(systemctl show --value -p MainPID keepalived))"), "SCHED_RR")
			})
		}
		var roles, faults [2]int
		for i, h := range []*host{a, b} {
			roles[i], faults[i] = h.changes()
		}
		done := make(chan error)
		for _, h := range load.on {
			go func() {
				_, err := h.Sh(t.Context(), load.script)
				done <- err
			}()
		}
		report := w.probe(0, func() {
			for range load.on {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		})
		if load.script == stalls && report.Late < 100*time.Millisecond {
			t.Errorf("nothing stalled, which proves nothing: the client itself was late by %v", report.Late)
		}
		for i, h := range []*host{a, b} {
			r, f := h.changes()
			t.Logf("%s: %s: %d changes of the role, %d faults; gap %v, late %v", load.name, h.Name(), r-roles[i], f-faults[i], report.Gap, report.Late)
			if r != roles[i] || f != faults[i] {
				t.Errorf("%s: %s: %d changes of the role, %d faults", load.name, h.Name(), r-roles[i], f-faults[i])
				t.Log(h.sh("journalctl -b --no-pager -o short-precise -u keepalived -u rlb-agent -n 30"))
			}
		}
	}

	// A daemon that is killed while HAProxy is down leaves no fault behind, and a boot without it begins with none.
	active, standby = w.roles(a, b)
	active.sh(`mkdir -p /run/systemd/system/rlb-agent.service.d
		printf '[Service]\nRestart=no\n' > /run/systemd/system/rlb-agent.service.d/once.conf
		mkdir -p /run/systemd/system/haproxy.service.d
		printf '[Service]\nExecStartPre=/bin/false\nRestart=no\n' > /run/systemd/system/haproxy.service.d/broken.conf
		systemctl daemon-reload; systemctl kill -s KILL haproxy`)
	w.eventually("haproxy is down", 5*time.Second, func() bool { return active.guarded(true) && standby.active() })
	active.sh("systemctl kill --kill-who=main -s KILL rlb-agent")
	w.eventually("the fault does not outlive the daemon", 3*time.Second, func() bool { return active.guarded(false) })
	active.sh("rm /run/systemd/system/haproxy.service.d/broken.conf; systemctl daemon-reload; systemctl reset-failed haproxy; systemctl start haproxy")
	backup := func(h *host) bool {
		out, _ := h.Run(t.Context(), agent, "status", "-o", "json")
		return strings.Contains(out, `"role": "BACKUP"`)
	}
	w.eventually("without the daemon it is a standby", 5*time.Second, func() bool { return backup(active) })
	standby.sh("systemctl stop rlb-agent; systemctl stop keepalived")
	w.eventually("without the daemon it takes part", 3*time.Second, active.active)
	standby.sh("systemctl start keepalived rlb-agent")
	standby.sh("systemctl disable rlb-agent")
	if err := standby.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.eventually("a boot without the daemon begins without a fault", 10*time.Second, func() bool {
		return standby.guarded(false) && backup(standby) && standby.is("active", "rlb-agent", "inactive")
	})
	active.sh("systemctl stop keepalived")
	w.eventually("it takes over", 3*time.Second, standby.active)
	w.serves("cp1", "cp2", "cp3")
}
