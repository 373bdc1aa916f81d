package failover

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// TestGuard: a failure of HAProxy on the active host causes a failover within milliseconds, if that is the shorter
// outage.
func TestGuard(t *testing.T) {
	cases := e2e.NewPairCases(t, e2e.Spec(pair.Nodes), lab.Trixie, lab.Bookworm)

	for _, host := range []string{"one", "the other"} {
		for _, tt := range []struct {
			name, script, undo string
			most               time.Duration
		}{
			{"stopped", "systemctl stop haproxy", "systemctl start haproxy", 200 * time.Millisecond},
			{"killed", "systemctl kill -s KILL haproxy", "true", 200 * time.Millisecond},
			{"hung", "systemctl kill -s STOP haproxy", "systemctl kill -s CONT haproxy", 1500 * time.Millisecond},
		} {
			cases.Run(tt.name+" on "+host, func(w *e2e.World, a, b *e2e.Host) {
				w.Judge(tt.name, func() (lab.Report, error) {
					a, b := w.Roles(a, b)
					report := w.Probe(time.Second, func() { a.Shell(tt.script) })
					if !b.Active() || a.Active() {
						w.Error("the virtual IP has not moved")
					}
					a.Shell(tt.undo)
					w.Eventually("it is a standby again", 10*time.Second, func() bool { return a.FaultFlag(false) && backup(a) })
					w.Never("flaps", 500*time.Millisecond, func() bool { return a.Active() || !b.Active() })
					if refused := report.Errors["connection refused"]; tt.name == "stopped" && refused > 0 { // it serves on until its peer does
						return report, fmt.Errorf("%d connections refused", refused)
					}
					return report, e2e.Within(report, tt.most)
				})
			})
		}
	}

	for _, tt := range []struct {
		name string
		do   func(*e2e.World, *e2e.Host)
		fail bool // connections fail meanwhile
	}{
		{"agent killed", func(_ *e2e.World, h *e2e.Host) { h.Shell("systemctl kill -s KILL rlb-agent") }, false},
		{"agent restarted", func(_ *e2e.World, h *e2e.Host) { h.Shell("systemctl restart rlb-agent") }, false},
		{"haproxy reloaded", func(_ *e2e.World, h *e2e.Host) { h.Shell("systemctl reload haproxy") }, false},
		{"no control plane", func(w *e2e.World, _ *e2e.Host) {
			set(w, lab.Refuse)
			defer set(w, lab.OK)
			time.Sleep(8 * time.Second)
		}, true},
	} {
		cases.Run(tt.name+": the virtual IP stays", func(w *e2e.World, active, standby *e2e.Host) {
			w.Judge(tt.name, func() (report lab.Report, err error) {
				seen := w.HoldersDuring(active, standby, func() {
					report = w.Losses(time.Second, func() { tt.do(w, active) })
				})
				if len(seen) != 1 || !active.Active() {
					w.Errorf("the virtual IP has moved: %s", seen)
				}
				if tt.fail {
					if report.Failed == 0 {
						w.Error("no connection failed")
					}
					return report, nil
				}
				return report, e2e.Lossless(report)
			})
		})
	}
}

// set sets the mode of all control planes.
func set(w *e2e.World, mode lab.Mode) {
	w.Helper()
	for _, plane := range w.Planes {
		if err := plane.Set(mode); err != nil {
			w.Fatal(err)
		}
	}
}

// TestProbeIsQuiet: the guard's probe opens no connection to a control plane and adds no line to HAProxy's log, even
// after unanswered probes.
func TestProbeIsQuiet(t *testing.T) {
	w := e2e.New(t)
	a, b := w.Pair(e2e.Spec("  healthCheck: {type: none}", pair.Nodes), lab.Trixie, lab.Bookworm)
	e2e.StartDaemon(a, b)
	seen := func() (requests int64, lines int) {
		for _, plane := range w.Planes {
			got := plane.Requests()
			requests += got.Readyz + got.Other
		}
		for _, h := range []*e2e.Host{a, b} {
			log := h.Shell("journalctl -b --no-pager -o cat -t haproxy")
			lines += strings.Count(log, "rlb:health") + strings.Count(log, "kube-apiserver/")
		}
		return requests, lines
	}
	w.Serves("cp1", "cp2", "cp3")
	active, _ := w.Roles(a, b)
	w.Eventually("a client's connections are in the log", 5*time.Second, func() bool { _, lines := seen(); return lines >= 3 })
	requests, lines := seen()
	time.Sleep(3 * time.Second)
	active.Shell("systemctl kill -s STOP haproxy")
	w.Eventually("it hangs", 3*time.Second, func() bool { return active.FaultFlag(true) })
	active.Shell("systemctl kill -s CONT haproxy")
	w.Eventually("it answers", 3*time.Second, func() bool { return active.FaultFlag(false) })
	time.Sleep(time.Second)
	if r, l := seen(); r != requests || l != lines {
		t.Errorf("%d requests and %d lines, and later %d and %d", requests, lines, r, l)
	}
}

// TestFlapping: if HAProxy is killed repeatedly, the peer serves each time. With preemption the virtual IPs return
// later and later.
func TestFlapping(t *testing.T) {
	w := e2e.New(t)
	a, b := w.Pair(e2e.Spec(pair.Nodes), lab.Trixie, lab.Trixie)
	e2e.StartDaemon(a, b)
	const kill = "systemctl reset-failed haproxy; systemctl kill -s KILL haproxy"
	for range 6 { // in turn
		w.Judge("killed in turn", func() (lab.Report, error) {
			active, standby := w.Roles(a, b)
			report := w.Probe(500*time.Millisecond, func() { active.Shell(kill) })
			if !standby.Active() {
				w.Error("killed in turn: the virtual IP has not moved")
			}
			return report, e2e.Within(report, 500*time.Millisecond)
		})
	}

	preferred := strings.Replace(pair.Nodes, "11]}", "11], priority: 200}", 1) + "\nvrrp: {preempt: true, priority: 100}"
	for _, h := range []*e2e.Host{a, b} {
		h.WriteSpec(e2e.Spec(preferred))
	}
	for _, h := range []*e2e.Host{a, b} {
		w.Eventually(h.Name()+" preempts", 20*time.Second, func() bool {
			data, err := h.ReadFile("/etc/keepalived/keepalived.conf")
			return err == nil && !strings.Contains(string(data), "nopreempt") && h.FaultFlag(false)
		})
	}
	home := func() bool { return a.Active() && !b.Active() }
	w.Eventually("the preferred host has it", 5*time.Second, home)
	a.Shell("systemctl restart rlb-agent") // a restarted agent has not recorded earlier faults
	w.Eventually("it serves", 5*time.Second, func() bool { return a.HAProxyIs("answers") })
	for i, out := range []time.Duration{0, time.Second, 2 * time.Second} {
		began := time.Now()
		a.Shell(kill)
		w.Eventually("its peer takes over", time.Second, b.Active)
		w.Eventually("it comes back", 10*time.Second, home)
		took := time.Since(began)
		t.Logf("killed %d times: back after %v", i+1, took.Round(time.Millisecond))
		if took < out || took > out+2*time.Second {
			t.Errorf("killed %d times: back after %v, want some %v", i+1, took, out)
		}
	}
	a.Shell(kill) // it would stay out for 4 s
	w.Eventually("its peer takes over", time.Second, b.Active)
	b.Shell(`mkdir -p /run/systemd/system/haproxy.service.d
		printf '[Service]\nExecStartPre=/bin/false\n' > /run/systemd/system/haproxy.service.d/broken.conf
		systemctl daemon-reload; systemctl kill -s KILL haproxy`)
	w.Eventually("nobody else can hold it", 2*time.Second, home)
}
