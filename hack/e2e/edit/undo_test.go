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

// TestFailedEditAndRollback: an edit whose health check takes every server out is undone, and reported with its place
// and HAProxy's reason. Then it lists the generations and goes back to one.
func TestFailedEditAndRollback(t *testing.T) {
	w := e2e.New(t)
	h, _ := w.Pair(e2e.Spec(), lab.Trixie, lab.Trixie)
	w.Serves("cp1", "cp2", "cp3")
	history := h.Must(pair.Agent, "history")

	sick := strings.Replace(e2e.Spec(), "  port: 9000\n", "  port: 9000\n  healthCheck: {type: https, path: /readyz, expectStatus: [404], interval: 500ms, fall: 1}\n", 1)
	stop := w.Steady("health check that takes every server out")
	before := h.Shell("cat /etc/haproxy/haproxy.cfg; iptables -S")
	h.WriteSpec(sick)
	code, out := h.RunAgent("--once")
	for _, words := range []string{pair.SpecFile + ":7:16: services[0].healthCheck: no server of kube-apiserver is up, but before the change one was", "L7OKC 200", "what was there before is in force again"} {
		if code != 4 || !strings.Contains(out, words) {
			t.Errorf("exit code %d, want 4 with %q:\n%s", code, words, out)
		}
	}
	if after := h.Shell("cat /etc/haproxy/haproxy.cfg; iptables -S"); after != before {
		t.Errorf("not undone:\n%s", e2e.Difference(before, after))
	}
	if now := h.Must(pair.Agent, "history"); now != history {
		t.Errorf("the failed edit is in the history:\n%s", now)
	}
	if text := h.Shell("cat /run/rlb/status.json"); !e2e.InOrder(text, `"result": "RolledBack"`, "no server of kube-apiserver is up") {
		t.Errorf("status: %s", text)
	}
	h.WriteSpec(e2e.Spec())
	next := h.Converges("the failed edit")
	report := stop()
	e2e.Row(t, "health check that takes every server out", report, fmt.Sprintf("exit %d: %s", code, e2e.Brief(out)), next)

	h.Apply(e2e.TwoServers())
	w.Serves("cp1", "cp2")
	list := h.Must(pair.Agent, "history")
	if lines := strings.Split(strings.TrimSpace(list), "\n"); len(lines) != 3 || !strings.HasPrefix(lines[1], "1 ") || !strings.HasPrefix(lines[2], "2 (in force)") {
		t.Errorf("history:\n%s", list)
	}
	if !strings.Contains(list, "services.kube-apiserver.servers.cp3: removed") {
		t.Errorf("the history does not say what changed:\n%s", list)
	}
	for _, words := range [][]string{{"rollback"}, {"history", "show"}, {"history", "diff"}, {"history", "diff", "1"}} {
		if got := h.Must(append(append([]string{pair.Agent, "__complete"}, words...), "")...); !e2e.InOrder(got, "1\t20", "\n2\t20", "\n:4") {
			t.Errorf("the generations that are offered after %q:\n%s", words, got)
		}
	}
	if got := h.Must(pair.Agent, "history", "show", "1"); got != e2e.Spec() {
		t.Errorf("history show 1:\n%s", got)
	}
	if code, out := h.RunAgent("history", "diff", "1"); code != 1 || !strings.Contains(out, "+++ generation 2") || !strings.Contains(out, "\n-") {
		t.Errorf("history diff 1: exit code %d\n%s", code, out)
	}
	if code, out := h.RunAgent("rollback", "--dry-run"); code != 1 || !strings.Contains(out, "on this host:") || !strings.Contains(out, "nothing was changed") {
		t.Errorf("rollback --dry-run: exit code %d\n%s", code, out)
	}
	if got := h.Shell("cat " + pair.SpecFile); got != e2e.TwoServers() {
		t.Errorf("the dry run of a rollback changed the spec:\n%s", got)
	}
	if code, out := h.RunAgent("teardown", "--dry-run"); code != 1 || !strings.Contains(out, "stop keepalived.service") || !strings.Contains(out, "virtual IPs move to another host") && !strings.Contains(out, "connections through this host's HAProxy end") {
		t.Errorf("teardown --dry-run: exit code %d\n%s", code, out)
	}
	w.Serves("cp1", "cp2")
	stop = w.Steady("rollback")
	h.Must(pair.Agent, "rollback")
	if got := h.Shell("cat " + pair.SpecFile); got != e2e.Spec() {
		t.Errorf("the spec after a rollback:\n%s", got)
	}
	if got := h.Shell("cat " + pair.SpecFile + ".replaced"); got != e2e.TwoServers() {
		t.Errorf("the spec that was kept aside:\n%s", got)
	}
	if out := h.Converges("rollback"); !strings.Contains(out, "nothing to do") {
		t.Errorf("the run after a rollback: %s", out)
	}
	w.Serves("cp1", "cp2", "cp3")
	h.Must(pair.Agent, "rollback", "2")
	if got := h.Shell("cat " + pair.SpecFile); got != e2e.TwoServers() {
		t.Errorf("the spec after rollback 2:\n%s", got)
	}
	if code, out := h.RunAgent("rollback", "77"); code != 2 || !strings.Contains(out, "generation 77") {
		t.Errorf("rollback to what is not there: exit code %d\n%s", code, out)
	}
	report = stop()

	// a spec that was valid then is refused now, as any edit would be
	h.Shell("printf '#!/bin/sh\\n' > /usr/local/sbin/notified; chmod 755 /usr/local/sbin/notified")
	h.Apply(e2e.Spec("vrrp: {notify: {master: /usr/local/sbin/notified}}"))
	h.Apply(e2e.TwoServers())
	h.Shell("rm /usr/local/sbin/notified")
	before = h.Shell("cat /etc/haproxy/haproxy.cfg /etc/keepalived/keepalived.conf " + pair.SpecFile)
	code, out = h.RunAgent("rollback")
	if code != 3 || !strings.Contains(out, "vrrp.notify.master: there is no file") {
		t.Errorf("rollback to what is refused now: exit code %d\n%s", code, out)
	}
	if after := h.Shell("cat /etc/haproxy/haproxy.cfg /etc/keepalived/keepalived.conf " + pair.SpecFile); after != before {
		t.Errorf("the refused rollback changed the host:\n%s", e2e.Difference(before, after))
	}
	e2e.Row(t, "rollback to a spec that is refused now", report, fmt.Sprintf("exit %d: %s", code, e2e.Brief(out)), h.Converges("a refused rollback"))
}

// TestOneAtATime: two agents never interleave, the lock is released when its holder dies, and a request to stop lets
// the running step finish.
func TestOneAtATime(t *testing.T) {
	w := e2e.New(t)
	h, _ := w.Pair(e2e.Spec(), lab.Trixie, lab.Trixie)
	w.Serves("cp1", "cp2", "cp3")
	stop := w.Steady("two agents")

	// begin runs an agent that stops itself before an effect
	begin := func(text, at string) (end func() (int, string)) {
		h.WriteSpec(text)
		type outcome struct {
			code int
			out  string
		}
		done := make(chan outcome, 1)
		go func() {
			code, out := h.RunFaulty("stop-before:"+at, "--once")
			done <- outcome{code, out}
		}()
		h.Shell(`until pgrep -f '^` + e2e.Faulty + `' -r T; do sleep 0.05; done`)
		return func() (int, string) { o := <-done; return o.code, o.out }
	}
	signal := func(name string) { h.Shell("kill -" + name + " $(pgrep -f '^" + e2e.Faulty + "')") }

	end := begin(e2e.MoreRetries(), "ReloadUnit haproxy")
	start := time.Now()
	code, out := h.RunAgent("--once", "--lock-timeout", "1s")
	if code != 4 || !strings.Contains(out, "cannot change this host while another rlb-agent does: process") || !strings.Contains(out, "rlb-agent-faulty --once") {
		t.Errorf("the second agent: exit code %d\n%s", code, out)
	}
	if took := time.Since(start); took < time.Second || took > 3*time.Second {
		t.Errorf("it gave up after %v", took)
	}
	e2e.Row(t, "a second agent while one is at work", lab.Report{}, fmt.Sprintf("exit %d: %s", code, e2e.Brief(out)), "")

	second := make(chan string, 1)
	go func() {
		code, out := h.RunFaulty("count:/run/second", "--once")
		second <- fmt.Sprint(code, " ", out)
	}()
	time.Sleep(500 * time.Millisecond)
	if out := h.Shell("cat /run/second 2>/dev/null; true"); out != "" {
		t.Errorf("the second agent did not wait:\n%s", out)
	}
	h.Shell("kill -CONT $(pgrep -f '^" + e2e.Faulty + "' -r T)")
	if code, out := end(); code != 0 {
		t.Errorf("the first agent: exit code %d\n%s", code, out)
	}
	if out := <-second; !strings.HasPrefix(out, "0 nothing to do") {
		t.Errorf("the second agent, after the first: %s", out)
	}

	end = begin(e2e.Spec(), "ReloadUnit haproxy")
	signal("KILL")
	if code, _ := end(); code != 137 {
		t.Errorf("the killed agent: exit code %d", code)
	}
	start = time.Now()
	next := h.Converges("a kill of the lock's holder")
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the lock of a killed agent was not free for %v", took)
	}
	e2e.Row(t, "the lock's holder killed", lab.Report{}, "killed", next)

	end = begin(e2e.TwoServers(), "WriteFile /etc/haproxy")
	signal("TERM")
	signal("CONT")
	code, out = end()
	if code != 0 || !e2e.InOrder(out, "write /etc/haproxy", "server cp3 of kube-apiserver, while haproxy runs", "done: in sync with") { // it completes what it has begun
		t.Errorf("SIGTERM in mid-apply: exit code %d\n%s", code, out)
	}
	next = h.Converges("SIGTERM")
	w.Serves("cp1", "cp2")
	e2e.Row(t, "SIGTERM in mid-apply", stop(), fmt.Sprintf("exit %d: %s", code, e2e.Brief(out)), next)
}
