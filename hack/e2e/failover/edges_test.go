package failover

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// changes counts the role changes of keepalived, and the faults that the guard set, since the host booted.
func changes(h *e2e.Host) (roles, faults int) {
	h.World.Helper()
	out := h.Shell("journalctl -b --no-pager -o cat -u keepalived -u rlb-agent")
	return strings.Count(out, " STATE"), strings.Count(out, "entering FAULT")
}

// Two loads for all CPUs of the machine.
const (
	busyLoops = `for core in $(seq $(($(nproc) * 2))); do timeout 6 sh -c 'while :; do :; done' & done; wait`
	stalls    = `for i in 1 2 3 4 5; do ` + pair.Stall + `; sleep 0.6; done`
)

// TestGuardEdges: a HAProxy that only seems to have failed keeps the virtual IP on its host; a HAProxy that is in a
// worse state than it seems moves it.
func TestGuardEdges(t *testing.T) {
	cases := e2e.NewPairCases(t, e2e.Spec(pair.Nodes, "proxy: {maxConnections: 20}"), lab.Trixie, lab.Bookworm)
	for _, host := range []string{"one", "the other"} { // the second case moves the virtual IP
		cases.Run("full is not hung, on "+host, full)
		cases.Run("out of file descriptors on "+host, outOfFiles)
		cases.Run("haproxy restarted on "+host, restarted)
	}
	cases.Run("both machines are busy", func(w *e2e.World, active, standby *e2e.Host) {
		report := loaded(w, active, standby, busyLoops, active, standby)
		w.Logf("gap %v, late %v", report.Gap, report.Late)
	})
	cases.Run("the active machine stalls", func(w *e2e.World, active, standby *e2e.Host) {
		if report := loaded(w, active, standby, stalls, active); report.Late < 100*time.Millisecond {
			w.Errorf("nothing stalled, which proves nothing: the client itself was late by %v", report.Late)
		}
	})
	cases.Run("the daemon killed while HAProxy is down", killedInFault)
	cases.Run("a boot without the daemon", bootAlone)
}

// full fills HAProxy with idle clients.
func full(w *e2e.World, active, standby *e2e.Host) {
	const most = 20
	var idle []*lab.LongConn
	for len(idle) < most {
		ctx, cancel := context.WithTimeout(w.Context(), 2*time.Second)
		conn, err := w.Client.LongConn(ctx, pair.Service)
		cancel()
		if err != nil {
			break
		}
		defer conn.Close()
		idle = append(idle, conn)
	}
	w.Logf("%d idle clients fill haproxy", len(idle))
	w.Eventually("it is seen to be full", 3*time.Second, func() bool { return active.HAProxyIs("full") })
	w.Never("full, it gave the virtual IP away", 3*time.Second, func() bool { return !active.Active() || standby.Active() || !active.FaultFlag(false) })
	for _, conn := range idle {
		conn.Close()
	}
	w.Eventually("it takes connections again", 3*time.Second, func() bool { return active.HAProxyIs("answers") })
	w.Serves("cp1", "cp2", "cp3")
}

// outOfFiles leaves HAProxy no free file descriptor: it accepts nothing.
func outOfFiles(w *e2e.World, active, standby *e2e.Host) {
	w.Judge("out of file descriptors", func() (lab.Report, error) {
		active, standby := w.Roles(active, standby)
		limit := func(n string) {
			active.Shell("for pid in $(pgrep -P $(systemctl show --value -p MainPID haproxy)); do runuser -u haproxy -- prlimit --pid $pid --nofile=" + n + ": ; done")
		}
		before := active.Shell("runuser -u haproxy -- prlimit --pid $(pgrep -n haproxy) --nofile -o SOFT --noheadings")
		report := w.Probe(time.Second, func() {
			limit("5")
			w.Eventually("it gives the virtual IP away", 3*time.Second, func() bool { return standby.Active() && !active.Active() })
		})
		limit(strings.TrimSpace(before))
		w.Eventually("it is a standby again", 5*time.Second, active.Well)
		w.Never("flaps", 500*time.Millisecond, func() bool { return active.Active() || !standby.Active() })
		w.Eventually("its servers are up again", 5*time.Second, func() bool { code, _ := active.RunAgent("status"); return code == 0 })
		return report, e2e.Within(report, 1500*time.Millisecond)
	})
}

func restarted(w *e2e.World, active, standby *e2e.Host) {
	w.Judge("haproxy restarted", func() (lab.Report, error) {
		active, standby := w.Roles(active, standby)
		report := w.Probe(time.Second, func() { active.Shell("systemctl restart haproxy") })
		_, faults := changes(active)
		w.Logf("moved: %v, faults in all %d", standby.Active(), faults)
		w.Eventually("both take part", 5*time.Second, func() bool { return active.FaultFlag(false) && standby.FaultFlag(false) })
		w.Never("flaps", 500*time.Millisecond, func() bool { return active.Active() == standby.Active() })
		if refused := report.Errors["connection refused"]; refused > 0 {
			return report, fmt.Errorf("%d connections refused", refused)
		}
		return report, e2e.Within(report, 100*time.Millisecond)
	})
}

// loaded runs a load without a free CPU, which must not change a role.
func loaded(w *e2e.World, a, b *e2e.Host, load string, on ...*e2e.Host) lab.Report {
	for _, h := range on {
		w.Eventually("keepalived is real-time", 5*time.Second, func() bool {
			return strings.Contains(h.Shell("chrt -p $(pgrep -P $(systemctl show --value -p MainPID keepalived))"), "SCHED_RR")
		})
	}
	var roles, faults [2]int
	for i, h := range []*e2e.Host{a, b} {
		roles[i], faults[i] = changes(h)
	}
	done := make(chan error, len(on))
	for _, h := range on {
		go func() {
			_, err := h.Sh(w.Context(), load)
			done <- err
		}()
	}
	report := w.Probe(0, func() {
		for range on {
			if err := <-done; err != nil {
				w.Error(err)
			}
		}
	})
	for i, h := range []*e2e.Host{a, b} {
		if r, f := changes(h); r != roles[i] || f != faults[i] {
			w.Errorf("%s: %d changes of the role, %d faults", h.Name(), r-roles[i], f-faults[i])
			w.Log(h.Shell("journalctl -b --no-pager -o short-precise -u keepalived -u rlb-agent -n 30"))
		}
	}
	return report
}

func backup(h *e2e.Host) bool {
	s, _ := h.Status()
	return s.Role == "BACKUP"
}

// killedInFault: a daemon that is killed while HAProxy is down leaves no fault behind.
func killedInFault(w *e2e.World, active, standby *e2e.Host) {
	active.Shell(`mkdir -p /run/systemd/system/rlb-agent.service.d
		printf '[Service]\nRestart=no\n' > /run/systemd/system/rlb-agent.service.d/once.conf
		mkdir -p /run/systemd/system/haproxy.service.d
		printf '[Service]\nExecStartPre=/bin/false\nRestart=no\n' > /run/systemd/system/haproxy.service.d/broken.conf
		systemctl daemon-reload; systemctl kill -s KILL haproxy`)
	w.Eventually("haproxy is down", 5*time.Second, func() bool { return active.FaultFlag(true) && standby.Active() })
	active.Shell("systemctl kill --kill-who=main -s KILL rlb-agent")
	w.Eventually("the fault does not outlive the daemon", 3*time.Second, func() bool { return active.FaultFlag(false) })
	active.Shell(`rm /run/systemd/system/haproxy.service.d/broken.conf /run/systemd/system/rlb-agent.service.d/once.conf
		systemctl daemon-reload; systemctl reset-failed haproxy; systemctl start haproxy`)
	w.Eventually("without the daemon it is a standby", 5*time.Second, func() bool { return backup(active) })
	standby.Shell("systemctl stop rlb-agent; systemctl stop keepalived")
	w.Eventually("without the daemon it takes part", 3*time.Second, active.Active)
	standby.Shell("systemctl start keepalived rlb-agent")
	active.Shell("systemctl start rlb-agent")
}

// bootAlone: a host that boots without the daemon starts without a fault.
func bootAlone(w *e2e.World, active, standby *e2e.Host) {
	standby.Shell("systemctl disable rlb-agent")
	if err := standby.Reboot(w.Context()); err != nil {
		w.Fatal(err)
	}
	w.Eventually("it begins without a fault", 10*time.Second, func() bool {
		return standby.FaultFlag(false) && backup(standby) && standby.Is("active", "rlb-agent", "inactive")
	})
	active.Shell("systemctl stop rlb-agent; systemctl stop keepalived") // otherwise the daemon starts it again
	w.Eventually("it takes over", 3*time.Second, standby.Active)
	w.Serves("cp1", "cp2", "cp3")
	standby.Shell("systemctl enable --now rlb-agent")
	active.Shell("systemctl start keepalived rlb-agent")
}
