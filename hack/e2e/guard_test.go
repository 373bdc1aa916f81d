package e2e

import (
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// nodes names the pair, so that each knows whether the other is there.
const nodes = `nodes:
- {name: lb1, addresses: [198.51.100.11]}
- {name: lb2, addresses: [198.51.100.12]}`

// withDaemon puts the agent's unit on the hosts and starts it there; they have their spec.
func withDaemon(hosts ...*host) {
	for _, h := range hosts {
		h.w.Helper()
		if err := h.CopyIn("../systemd/rlb-agent.service", "/etc/systemd/system/rlb-agent.service", 0o644); err != nil {
			h.w.Fatal(err)
		}
		h.sh("systemctl daemon-reload; systemctl enable --now rlb-agent")
	}
	for _, h := range hosts {
		h.w.eventually("the first run of the daemon on "+h.Name()+" is over", time.Minute, func() bool {
			out, err := h.Run(h.w.Context(), "systemctl", "show", "--value", "-p", "StatusText", "rlb-agent")
			return err == nil && strings.Contains(out, "this host is as") && h.guarded(false)
		})
	}
}

// guarded says whether the guard's word is known to be this.
func (h *host) guarded(fault bool) bool {
	data, err := h.ReadFile("/run/rlb/fault")
	return err == nil && string(data) == map[bool]string{true: "1\n", false: "0\n"}[fault]
}

// What becomes of HAProxy on the active host is a failover within milliseconds where that is the shorter outage.
func TestGuard(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair(specOf(nodes), lab.Trixie, lab.Bookworm)
	withDaemon(a, b)

	// moves does something on the active host that the standby must take over from.
	moves := func(name, script, mend string, most time.Duration) {
		a, b := w.roles(a, b)
		report := w.probe(time.Second, func() { a.sh(script) })
		if !b.active() || a.active() {
			t.Errorf("%s: the virtual IP has not moved", name)
		}
		if report.Gap > most && report.Late < stall || report.Open > 100*time.Millisecond {
			t.Errorf("%s: gap %v, open %v, want at most %v", name, report.Gap, report.Open, most)
		}
		if name == "stopped" && report.Errors["connection refused"] > 0 && report.Late < stall { // it serves on until its peer does
			t.Errorf("%s: %v", name, report.Errors)
		}
		a.sh(mend)
		w.eventually(name+": it is a standby again", 10*time.Second, func() bool { return a.guarded(false) })
		w.never(name+": flaps", 500*time.Millisecond, func() bool { return a.active() || !b.active() })
		t.Logf("%s: gap %v, %d failed", name, report.Gap, report.Failed)
	}
	for range 2 { // on either host
		moves("stopped", "systemctl stop haproxy", "systemctl start haproxy", 200*time.Millisecond)
		moves("killed", "systemctl kill -s KILL haproxy", "true", 200*time.Millisecond)
		moves("hung", "systemctl kill -s STOP haproxy", "systemctl kill -s CONT haproxy", 1500*time.Millisecond)
	}
	// stays does something that must leave the virtual IP where it is.
	stays := func(name string, do func(*host)) {
		active, _ := w.roles(a, b)
		report := w.probe(time.Second, func() { do(active) })
		if !active.active() {
			t.Errorf("%s: the virtual IP has moved", name)
		}
		t.Logf("%s: gap %v, %d failed", name, report.Gap, report.Failed)
	}
	stays("agent killed", func(h *host) { h.sh("systemctl kill -s KILL rlb-agent") })
	stays("agent restarted", func(h *host) { h.sh("systemctl restart rlb-agent") })
	stays("haproxy reloaded", func(h *host) { h.sh("systemctl reload haproxy") })
	for i := range 3 { // control planes are no reason
		if err := w.planes[i].Set(lab.Refuse); err != nil {
			t.Fatal(err)
		}
	}
	stays("no control plane", func(*host) { time.Sleep(8 * time.Second) })
}

// The guard's probe opens no connection to a control plane and writes no line into HAProxy's log, also where it was not
// answered for a while.
func TestProbeIsQuiet(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair(specOf("  healthCheck: {type: none}", nodes), lab.Trixie, lab.Bookworm)
	withDaemon(a, b)
	seen := func() (requests int64, lines int) {
		for _, plane := range w.planes {
			got := plane.Requests()
			requests += got.Readyz + got.Other
		}
		for _, h := range []*host{a, b} {
			log := h.sh("journalctl -b --no-pager -o cat -t haproxy")
			lines += strings.Count(log, "rlb:health") + strings.Count(log, "kube-apiserver/")
		}
		return requests, lines
	}
	w.serves("cp1", "cp2", "cp3")
	active, _ := w.roles(a, b)
	w.eventually("a client's connections are in the log", 5*time.Second, func() bool { _, lines := seen(); return lines >= 3 })
	requests, lines := seen()
	time.Sleep(3 * time.Second)
	active.sh("systemctl kill -s STOP haproxy")
	w.eventually("it hangs", 3*time.Second, func() bool { return active.guarded(true) })
	active.sh("systemctl kill -s CONT haproxy")
	w.eventually("it answers", 3*time.Second, func() bool { return active.guarded(false) })
	time.Sleep(time.Second)
	if r, l := seen(); r != requests || l != lines {
		t.Errorf("%d requests and %d lines, and later %d and %d", requests, lines, r, l)
	}
}

// A HAProxy that dies again and again leaves nobody without one that serves, and the virtual IPs do not come back to it
// each time, where they come back at all.
func TestFlapping(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair(specOf(nodes), lab.Trixie, lab.Trixie)
	withDaemon(a, b)
	const kill = "systemctl reset-failed haproxy; systemctl kill -s KILL haproxy"
	for range 6 { // in turn
		active, standby := w.roles(a, b)
		report := w.probe(500*time.Millisecond, func() { active.sh(kill) })
		if report.Gap > 500*time.Millisecond && report.Late < stall || !standby.active() {
			t.Errorf("killed in turn: gap %v", report.Gap)
		}
	}

	preferred := strings.Replace(nodes, "11]}", "11], priority: 200}", 1) + "\nvrrp: {preempt: true, priority: 100}"
	for _, h := range []*host{a, b} {
		h.writeSpec(specOf(preferred))
	}
	for _, h := range []*host{a, b} {
		w.eventually(h.Name()+" preempts", 20*time.Second, func() bool {
			data, err := h.ReadFile("/etc/keepalived/keepalived.conf")
			return err == nil && !strings.Contains(string(data), "nopreempt") && h.guarded(false)
		})
	}
	home := func() bool { return a.active() && !b.active() }
	w.eventually("the preferred host has it", 5*time.Second, home)
	a.sh("systemctl restart rlb-agent") // which knows of no earlier fault then
	w.eventually("it serves", 5*time.Second, func() bool { return a.haproxySays("answers") })
	for i, out := range []time.Duration{0, time.Second, 2 * time.Second} {
		began := time.Now()
		a.sh(kill)
		w.eventually("its peer takes over", time.Second, b.active)
		w.eventually("it comes back", 10*time.Second, home)
		took := time.Since(began)
		t.Logf("killed %d times: back after %v", i+1, took.Round(time.Millisecond))
		if took < out || took > out+2*time.Second {
			t.Errorf("killed %d times: back after %v, want some %v", i+1, took, out)
		}
	}
	a.sh(kill) // it would stay out for 4 s
	w.eventually("its peer takes over", time.Second, b.active)
	b.sh(`mkdir -p /run/systemd/system/haproxy.service.d
		printf '[Service]\nExecStartPre=/bin/false\n' > /run/systemd/system/haproxy.service.d/broken.conf
		systemctl daemon-reload; systemctl kill -s KILL haproxy`)
	w.eventually("nobody else can hold it", 2*time.Second, home)
}
