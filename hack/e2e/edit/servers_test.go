package edit

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// serversSpec returns a service with these servers.
func serversSpec(servers ...string) string {
	return `apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [198.51.100.100]
services:
- name: kube-apiserver
  port: 9000
  healthCheck: {interval: 500ms}
  servers:
  - ` + strings.Join(servers, "\n  - ") + "\n"
}

// worker returns the processes of HAProxy below the master: the one that accepts connections, and old ones.
func worker(h *e2e.Host) string {
	h.World.Helper()
	return strings.Join(strings.Fields(h.Shell("pgrep -P $(systemctl show --value -p MainPID haproxy) -x haproxy")), " ")
}

// steps returns the steps of the last run.
func steps(h *e2e.Host) string {
	h.World.Helper()
	_, steps, _ := strings.Cut(h.Must("cat", "/run/rlb/status.json"), `"lastReconcile"`)
	steps, _, _ = strings.Cut(steps, "]")
	return steps
}

// TestServersChangeWithoutReload: servers are added, removed and changed under load without a reload: no
// connection fails, and open ones stay. Manual changes through the runtime API are repaired in the same way.
func TestServersChangeWithoutReload(t *testing.T) {
	w := e2e.New(t)
	_, err := w.Lab.AddControlPlane(t.Context(), "cp4", netip.MustParsePrefix("198.51.100.24/24"))
	if err != nil {
		t.Fatal(err)
	}
	const (
		cp1   = "{name: cp1, address: 198.51.100.21, port: 6443}"
		cp2   = "{name: cp2, address: 198.51.100.22, port: 6443}"
		cp3   = "{name: cp3, address: 198.51.100.23, port: 6443}"
		heavy = "{name: cp3, address: 198.51.100.23, port: 6443, weight: 20}"
		there = "{name: cp2, address: 198.51.100.24, port: 6443}"
	)
	for _, h := range w.Hosts(true, lab.Bookworm, lab.Trixie) {
		h.Apply(serversSpec(cp1, cp2))
		target := h.Addr().String() + ":9000"
		w.Eventually("the service answers", 10*time.Second, func() bool { _, err := w.Client.Get(t.Context(), target); return err == nil })
		first := worker(h)
		p, err := w.Client.Probe(target, lab.ProbeOptions{Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		long := map[string][]*lab.LongConn{}
		for range 50 {
			c, err := w.Client.LongConn(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			long[c.Server] = append(long[c.Server], c)
		}
		if len(long["cp1"]) == 0 || len(long["cp2"]) == 0 {
			t.Fatalf("long connections: %d to cp1, %d to cp2", len(long["cp1"]), len(long["cp2"]))
		}
		for _, edit := range []struct {
			what, line string
			servers    []string
		}{
			{"add it", "server cp3 198.51.100.23:6443", []string{cp1, cp2, cp3}},
			{"weight 1 becomes 20", "server cp3 198.51.100.23:6443", []string{cp1, cp2, heavy}},
			{"address 198.51.100.22:6443 becomes 198.51.100.24:6443", "server cp2 198.51.100.24:6443", []string{cp1, there, heavy}},
			{"no new connections", "server cp2 198.51.100.24:6443", []string{there, heavy}},
		} {
			start := time.Now()
			h.Apply(serversSpec(edit.servers...))
			out := steps(h)
			t.Logf("%s: %s: %v", h.Name(), edit.what, time.Since(start).Round(time.Millisecond))
			if !strings.Contains(out, edit.what) || strings.Contains(out, "reload haproxy") {
				t.Errorf("%s: %s: %s", h.Name(), edit.what, out)
			}
			if cfg := h.Shell("cat /etc/haproxy/haproxy.cfg"); !strings.Contains(cfg, edit.line) {
				t.Errorf("%s: haproxy.cfg lacks %q: %s", h.Name(), edit.line, cfg)
			}
		}
		seen := map[string]int{}
		for range 200 {
			name, err := w.Client.Get(t.Context(), target)
			if err != nil {
				t.Fatalf("%s: %v", h.Name(), err)
			}
			seen[name]++
		}
		if seen["cp1"]+seen["cp2"] > 0 || seen["cp4"] == 0 || seen["cp3"] < 10*seen["cp4"] {
			t.Errorf("%s: 200 connections went to %v, want cp3 20 times as often as cp4", h.Name(), seen)
		}
		if got := worker(h); got != first {
			t.Errorf("%s: HAProxy was reloaded: workers %s became %s", h.Name(), first, got)
		}
		quiet := func(when string) {
			t.Helper()
			if out := h.Must(pair.Agent, "--once"); !strings.Contains(out, "nothing to do") {
				t.Errorf("%s: a run %s: %s", h.Name(), when, out)
			}
		}
		quiet("after the edits")

		// changes without the agent
		h.HAProxy("set server kube-apiserver/cp3 weight 3", "set server kube-apiserver/cp3 state drain", "set server kube-apiserver/cp2 addr 198.51.100.22 port 6443",
			"add server kube-apiserver/mine 198.51.100.21:6443", "enable server kube-apiserver/mine")
		if code, out := h.RunAgent("--once", "--dry-run"); code != 1 || !e2e.InOrder(out, "address 198.51.100.22:6443 becomes 198.51.100.24:6443", "weight 3 becomes 20, it gets connections again", "server mine of kube-apiserver") {
			t.Errorf("%s: drift: %d: %s", h.Name(), code, out)
		}
		start := time.Now()
		h.Must(pair.Agent, "--once")
		t.Logf("%s: drift of three servers set right in %v", h.Name(), time.Since(start).Round(time.Millisecond))
		quiet("after the repair")

		report := p.Stop()
		t.Logf("%s: probe: %d connections, %d failed, gap %v, itself late by %v, %v", h.Name(), report.Total, report.Failed, report.Gap, report.Late, report.Errors)
		if err := e2e.Lossless(report); err != nil {
			t.Errorf("%s: %v", h.Name(), err)
		}
		cut := 0
		for name, all := range long {
			for _, c := range all {
				if _, gone, err := c.Cut(); gone {
					cut++
					t.Logf("%s: a connection to %s: %v", h.Name(), name, err)
				}
			}
		}
		if cut > 0 {
			t.Errorf("%s: %d of 50 long connections were cut", h.Name(), cut)
		}

		// a removed server is deleted when its last connection has ended, and a reload changes nothing
		for _, c := range long["cp1"] {
			_ = c.Close()
		}
		w.Eventually("cp1 is deleted", 15*time.Second, func() bool {
			h.Must(pair.Agent, "--once")
			return !strings.Contains(h.HAProxy("show servers state kube-apiserver"), " cp1 ")
		})
		if got := worker(h); got != first {
			t.Errorf("%s: HAProxy was reloaded: workers %s became %s", h.Name(), first, got)
		}
		states := func() string {
			var all []string
			for line := range strings.Lines(h.HAProxy("show servers state kube-apiserver")) {
				if f := strings.Fields(line); len(f) > 18 && f[0] != "#" {
					all = append(all, fmt.Sprint(f[3], " ", f[4], ":", f[18], " admin ", f[6], " weight ", f[7]))
				}
			}
			return strings.Join(all, "\n")
		}
		before := states()
		h.Must("systemctl", "reload", "haproxy")
		w.Eventually("a new worker", 5*time.Second, func() bool { return !strings.Contains(worker(h), first) || strings.Contains(worker(h), " ") })
		if after := states(); after != before || !strings.Contains(after, "cp3 198.51.100.23:6443 admin 0 weight 20") {
			t.Errorf("%s: a reload changes the servers: %s\nbecame\n%s", h.Name(), before, after)
		}
		quiet("after a reload")
		for _, c := range long["cp2"] {
			_ = c.Close()
		}
		h.Must("systemctl", "stop", "keepalived", "haproxy")
	}
}
