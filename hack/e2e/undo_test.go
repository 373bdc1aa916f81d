package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// An edit whose health check takes every server out is undone, and told with its place and HAProxy's reason. Then the
// generations: listed, and gone back to.
func TestFailedEditAndRollback(t *testing.T) {
	w := newWorld(t)
	h, _ := w.pair(specOf(), lab.Trixie, lab.Trixie)
	w.serves("cp1", "cp2", "cp3")
	history := h.must(agent, "history")

	sick := strings.Replace(specOf(), "  port: 9000\n", "  port: 9000\n  healthCheck: {type: https, path: /readyz, expectStatus: [404], interval: 500ms, fall: 1}\n", 1)
	stop := w.steady("health check that takes every server out")
	before := h.sh("cat /etc/haproxy/haproxy.cfg; iptables -S")
	h.writeSpec(sick)
	code, out := h.code("--once")
	for _, words := range []string{spec + ":7:16: services[0].healthCheck: no server of kube-apiserver is up any more", "L7STS 200", "what was there before is in force again"} {
		if code != 4 || !strings.Contains(out, words) {
			t.Errorf("exit code %d, want 4 with %q:\n%s", code, words, out)
		}
	}
	if after := h.sh("cat /etc/haproxy/haproxy.cfg; iptables -S"); after != before {
		t.Errorf("not undone:\n%s", difference(before, after))
	}
	if now := h.must(agent, "history"); now != history {
		t.Errorf("the failed edit is in the history:\n%s", now)
	}
	if text := h.sh("cat /run/rlb/status.json"); !inOrder(text, `"result": "RolledBack"`, "no server of kube-apiserver is up") {
		t.Errorf("status: %s", text)
	}
	h.writeSpec(specOf())
	next := h.converges("the failed edit")
	report := stop()
	row(t, "health check that takes every server out", report, fmt.Sprintf("exit %d: %s", code, brief(out)), next)

	h.apply(twoServers())
	w.serves("cp1", "cp2")
	list := h.must(agent, "history")
	if lines := strings.Split(strings.TrimSpace(list), "\n"); len(lines) != 3 || !strings.HasPrefix(lines[1], "1 ") || !strings.HasPrefix(lines[2], "2 (in force)") {
		t.Errorf("history:\n%s", list)
	}
	stop = w.steady("rollback")
	h.must(agent, "rollback")
	if got := h.sh("cat " + spec); got != specOf() {
		t.Errorf("the spec after a rollback:\n%s", got)
	}
	if got := h.sh("cat " + spec + ".replaced"); got != twoServers() {
		t.Errorf("the spec that was kept aside:\n%s", got)
	}
	if out := h.converges("rollback"); !strings.Contains(out, "nothing to do") {
		t.Errorf("the run after a rollback: %s", out)
	}
	w.serves("cp1", "cp2", "cp3")
	h.must(agent, "rollback", "2")
	if got := h.sh("cat " + spec); got != twoServers() {
		t.Errorf("the spec after rollback 2:\n%s", got)
	}
	if code, out := h.code("rollback", "77"); code != 2 || !strings.Contains(out, "generation 77") {
		t.Errorf("rollback to what is not there: exit code %d\n%s", code, out)
	}
	report = stop()

	// what was fine then is refused now, as any edit would be
	h.sh("printf '#!/bin/sh\\n' > /usr/local/sbin/told; chmod 755 /usr/local/sbin/told")
	h.apply(specOf("vrrp: {notify: {master: /usr/local/sbin/told}}"))
	h.apply(twoServers())
	h.sh("rm /usr/local/sbin/told")
	before = h.sh("cat /etc/haproxy/haproxy.cfg /etc/keepalived/keepalived.conf " + spec)
	code, out = h.code("rollback")
	if code != 3 || !strings.Contains(out, "vrrp.notify.master: there is no file") {
		t.Errorf("rollback to what is refused now: exit code %d\n%s", code, out)
	}
	if after := h.sh("cat /etc/haproxy/haproxy.cfg /etc/keepalived/keepalived.conf " + spec); after != before {
		t.Errorf("the refused rollback changed the host:\n%s", difference(before, after))
	}
	row(t, "rollback to a spec that is refused now", report, fmt.Sprintf("exit %d: %s", code, brief(out)), h.converges("a refused rollback"))
}

// Two agents never interleave; the lock dies with its holder; a request to stop ends the running step first.
func TestOneAtATime(t *testing.T) {
	w := newWorld(t)
	h, _ := w.pair(specOf(), lab.Trixie, lab.Trixie)
	w.serves("cp1", "cp2", "cp3")
	stop := w.steady("two agents")

	// begin runs an agent that stands still before an effect
	begin := func(text, at string) (end func() (int, string)) {
		h.writeSpec(text)
		type outcome struct {
			code int
			out  string
		}
		done := make(chan outcome, 1)
		go func() {
			code, out := h.fault("stop-before:"+at, "--once")
			done <- outcome{code, out}
		}()
		h.sh(`until pgrep -f '^` + faulty + `' -r T; do sleep 0.05; done`)
		return func() (int, string) { o := <-done; return o.code, o.out }
	}
	signal := func(name string) { h.sh("kill -" + name + " $(pgrep -f '^" + faulty + "')") }

	end := begin(moreRetries(), "ReloadUnit haproxy")
	start := time.Now()
	code, out := h.code("--once", "--lock-timeout", "1s")
	if code != 4 || !strings.Contains(out, "cannot change this host while another rlb-agent does: process") || !strings.Contains(out, "rlb-agent-faulty --once") {
		t.Errorf("the second agent: exit code %d\n%s", code, out)
	}
	if took := time.Since(start); took < time.Second || took > 3*time.Second {
		t.Errorf("it gave up after %v", took)
	}
	row(t, "a second agent while one is at work", lab.Report{}, fmt.Sprintf("exit %d: %s", code, brief(out)), "")

	second := make(chan string, 1)
	go func() {
		code, out := h.fault("count:/run/second", "--once")
		second <- fmt.Sprint(code, " ", out)
	}()
	time.Sleep(500 * time.Millisecond)
	if out := h.sh("cat /run/second 2>/dev/null; true"); out != "" {
		t.Errorf("the second agent did not wait:\n%s", out)
	}
	h.sh("kill -CONT $(pgrep -f '^" + faulty + "' -r T)")
	if code, out := end(); code != 0 {
		t.Errorf("the first agent: exit code %d\n%s", code, out)
	}
	if out := <-second; !strings.HasPrefix(out, "0 nothing to do") {
		t.Errorf("the second agent, after the first: %s", out)
	}

	end = begin(specOf(), "ReloadUnit haproxy")
	signal("KILL")
	if code, _ := end(); code != 137 {
		t.Errorf("the killed agent: exit code %d", code)
	}
	start = time.Now()
	next := h.converges("a kill of the lock's holder")
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the lock of a killed agent was not free for %v", took)
	}
	row(t, "the lock's holder killed", lab.Report{}, "killed", next)

	end = begin(twoServers(), "WriteFile /etc/haproxy")
	signal("TERM")
	signal("CONT")
	code, out = end()
	if code != 0 || !inOrder(out, "write /etc/haproxy", "server cp3 of kube-apiserver, while haproxy runs", "done: this host is as") { // what it began it ends
		t.Errorf("SIGTERM in mid-apply: exit code %d\n%s", code, out)
	}
	next = h.converges("SIGTERM")
	w.serves("cp1", "cp2")
	row(t, "SIGTERM in mid-apply", stop(), fmt.Sprintf("exit %d: %s", code, brief(out)), next)
}
