package e2e

import (
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

const tried = "/root/tried.yaml"

// try starts a trial in the background; pid names its process to the shell, and end waits for it.
func (h *host) try(timeout string) (end func() (string, int)) {
	h.w.Helper()
	type outcome struct {
		out  string
		code int
	}
	done := make(chan outcome, 1)
	h.sh("rm -f /run/try.pid")
	go func() {
		out, code := h.exit("sh -c 'echo $$ > /run/try.pid; exec " + agent + " try --timeout " + timeout + " " + tried + "'")
		done <- outcome{out, code}
	}()
	h.w.eventually("the trial is in force", 10*time.Second, func() bool { return h.servers() == 2 })
	h.w.eventually("the trial's run is over", 10*time.Second, func() bool {
		out, err := h.Run(h.w.Context(), "flock", "-n", "/run/rlb/lock", "true")
		return err == nil && out == ""
	})
	return func() (string, int) { o := <-done; return o.out, o.code }
}

const tryPid = "$(cat /run/try.pid)"

// servers is how many servers HAProxy's configuration has.
func (h *host) servers() int {
	return strings.Count(h.sh("cat /etc/haproxy/haproxy.cfg"), "\n    server ")
}

// over says that nothing of a trial is left, and that the spec file rules.
func (h *host) over(what, before string) {
	h.w.Helper()
	h.w.eventually(what+": it goes back", 15*time.Second, func() bool { return h.servers() == 3 })
	h.w.eventually(what+": nothing is left of the trial", 10*time.Second, func() bool {
		return h.sh("ls /etc/systemd/system /var/lib/rlb | grep trial; systemctl list-unit-files --no-legend 'rlb-trial*'; true") == ""
	})
	if after := h.sh("cat /etc/haproxy/haproxy.cfg " + spec); after != before {
		h.w.Errorf("%s: not as before:\n%s", what, difference(before, after))
	}
	if out := h.converges(what); !strings.Contains(out, "nothing to do") {
		h.w.Errorf("%s: the next run: %s", what, out)
	}
}

// A spec that is tried stays only if somebody confirms it; it goes back whatever happens to the agent, its terminal or
// the host.
func TestTry(t *testing.T) {
	w := newWorld(t)
	h, standby := w.pair(specOf(), lab.Trixie, lab.Trixie)
	w.serves("cp1", "cp2", "cp3")
	for _, h := range []*host{h, standby} {
		if err := h.WriteFile(tried, []byte(twoServers()), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := h.CopyIn("../systemd/rlb-agent.service", "/etc/systemd/system/rlb-agent.service", 0o644); err != nil {
			t.Fatal(err)
		}
	}
	before := h.sh("cat /etc/haproxy/haproxy.cfg " + spec)
	history := h.must(agent, "history")

	for _, tt := range []struct {
		name, timeout string
		meanwhile     string
		code          int
		says          string
	}{
		{"nobody confirms", "3s", "true", 4, "nobody confirmed"},
		{"agent killed", "4s", "kill -9 " + tryPid, 137, ""},
		{"terminal gone", "4s", "kill -HUP " + tryPid, 129, ""},
		{"Ctrl-C", "10m", "kill -INT " + tryPid, 0, "done"},
	} {
		stop := w.steady(tt.name)
		end := h.try(tt.timeout)
		h.sh(tt.meanwhile)
		out, code := end()
		if code != tt.code || !strings.Contains(out, tt.says) {
			t.Errorf("%s: exit code %d, want %d with %q:\n%s", tt.name, code, tt.code, tt.says, out)
		}
		h.over(tt.name, before)
		row(t, "try: "+tt.name, stop(), brief(out), "went back by itself; nothing to do")
	}
	if now := h.must(agent, "history"); now != history {
		t.Errorf("trials are in the history:\n%s", now)
	}

	// --once is refused while a spec is tried, and a daemon stands still, until it is confirmed
	stop := w.steady("confirmed")
	end := h.try("10m")
	if code, out := h.code("--once"); code != 4 || !strings.Contains(out, "while "+tried+" is tried") {
		t.Errorf("--once during a trial: exit code %d\n%s", code, out)
	}
	h.sh("systemctl daemon-reload; systemctl start rlb-agent")
	w.never("the daemon ends the trial", 2*time.Second, func() bool { return h.servers() != 2 })
	if code, out := h.code("confirm"); code != 0 {
		t.Errorf("confirm: exit code %d\n%s", code, out)
	}
	out, code := end()
	if code != 0 || !strings.Contains(out, "confirmed") {
		t.Errorf("the confirmed trial: exit code %d\n%s", code, out)
	}
	if got := h.sh("cat " + spec); got != twoServers() || h.sh("cat "+spec+".replaced") != specOf() {
		t.Errorf("the spec after confirm:\n%s", got)
	}
	w.never("the daemon undoes what was confirmed", 2*time.Second, func() bool { return h.servers() != 2 })
	h.sh("systemctl stop rlb-agent")
	next := h.converges("confirm")
	row(t, "try: confirmed", stop(), brief(out), next)
	if code, out := h.code("confirm"); code != 2 {
		t.Errorf("confirm without a trial: exit code %d\n%s", code, out)
	}

	// the host that stands by is rebooted while it tries
	before = standby.sh("cat /etc/haproxy/haproxy.cfg " + spec)
	stop = w.steady("rebooted")
	standby.sh("systemd-run --quiet --collect --unit=trying " + agent + " try --timeout 10m " + tried)
	w.eventually("the trial is in force", 10*time.Second, func() bool { return standby.servers() == 2 })
	time.Sleep(time.Second)
	if err := standby.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	standby.over("rebooted", before)
	row(t, "try: host rebooted (standby)", stop(), "", "went back at boot; nothing to do")
}

// Where nothing was ever in force there is nothing to go back to.
func TestTryOnANewHost(t *testing.T) {
	w := newWorld(t)
	h := w.hosts(true, lab.Trixie)[0]
	h.writeSpec(specOf())
	before := h.state()
	if code, out := h.code("try", spec); code != 2 || !strings.Contains(out, "there is nothing to go back to") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if after := h.state(); after != before {
		t.Errorf("the host changed:\n%s", difference(before, after))
	}
}
