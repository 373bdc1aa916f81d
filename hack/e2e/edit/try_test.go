package edit

import (
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

const tried = "/root/tried.yaml"

// try starts a trial in the background. pid names its process to the shell; end waits for it.
func try(h *e2e.Host, timeout string) (end func() (string, int)) {
	h.World.Helper()
	type outcome struct {
		out  string
		code int
	}
	done := make(chan outcome, 1)
	h.Shell("rm -f /run/try.pid")
	go func() {
		out, code := h.Exit("sh -c 'echo $$ > /run/try.pid; exec " + pair.Agent + " try --timeout " + timeout + " " + tried + "'")
		done <- outcome{out, code}
	}()
	h.World.Eventually("the trial is in force", 10*time.Second, func() bool { return servers(h) == 2 })
	h.World.Eventually("the trial's run is over", 10*time.Second, func() bool {
		out, err := h.Run(h.World.Context(), "flock", "-n", "/run/rlb/lock", "true")
		return err == nil && out == ""
	})
	return func() (string, int) { o := <-done; return o.out, o.code }
}

const tryPid = "$(cat /run/try.pid)"

// servers counts the servers with a check in HAProxy's configuration. The fail-open backend uses the same servers
// without checks.
func servers(h *e2e.Host) int {
	return strings.Count(h.Shell("grep '^    server .* check' /etc/haproxy/haproxy.cfg"), "\n")
}

// over waits until nothing of a trial is left and the spec file is in force.
func over(h *e2e.Host, what, before string) {
	h.World.Helper()
	h.World.Eventually(what+": it goes back", 15*time.Second, func() bool { return servers(h) == 3 })
	h.World.Eventually(what+": nothing is left of the trial", 10*time.Second, func() bool {
		return h.Shell("ls /etc/systemd/system /var/lib/rlb | grep trial; systemctl list-unit-files --no-legend 'rlb-trial*'; true") == ""
	})
	if after := h.Shell("cat /etc/haproxy/haproxy.cfg " + pair.SpecFile); after != before {
		h.World.Errorf("%s: not as before:\n%s", what, e2e.Difference(before, after))
	}
	if out := h.Converges(what); !strings.Contains(out, "nothing to do") {
		h.World.Errorf("%s: the next run: %s", what, out)
	}
}

// TestTry: a tried spec stays only if it is confirmed. Otherwise it is undone, whatever happens to the agent, its
// terminal or the host.
func TestTry(t *testing.T) {
	w := e2e.New(t)
	h, standby := w.Pair(e2e.Spec(), lab.Trixie, lab.Trixie)
	w.Serves("cp1", "cp2", "cp3")
	for _, h := range []*e2e.Host{h, standby} {
		if err := h.WriteFile(tried, []byte(e2e.TwoServers()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	before := h.Shell("cat /etc/haproxy/haproxy.cfg " + pair.SpecFile)
	history := h.Must(pair.Agent, "history")

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
		stop := w.Steady(tt.name)
		end := try(h, tt.timeout)
		h.Shell(tt.meanwhile)
		out, code := end()
		if code != tt.code || !strings.Contains(out, tt.says) {
			t.Errorf("%s: exit code %d, want %d with %q:\n%s", tt.name, code, tt.code, tt.says, out)
		}
		over(h, tt.name, before)
		e2e.Row(t, "try: "+tt.name, stop(), e2e.Brief(out), "went back by itself; nothing to do")
	}
	if now := h.Must(pair.Agent, "history"); now != history {
		t.Errorf("trials are in the history:\n%s", now)
	}

	// a spec that does not fit is not tried
	for _, tt := range []struct {
		flags, says string
		code        int
	}{
		{"--replaces 00", "cannot try a spec in place of sha256:00", 4},
		{"--sha256 00", "its SHA-256 is", 3},
	} {
		if out, code := h.Exit(pair.Agent + " try --detach " + tt.flags + " - <" + tried); code != tt.code || !strings.Contains(out, tt.says) || servers(h) != 3 {
			t.Errorf("%s: exit code %d, want %d with %q:\n%s", tt.flags, code, tt.code, tt.says, out)
		}
	}

	// during a trial --once is refused, and a daemon does nothing, until it is confirmed
	stop := w.Steady("confirmed")
	end := try(h, "10m")
	if code, out := h.RunAgent("--once"); code != 4 || !strings.Contains(out, "while "+tried+" is tried") {
		t.Errorf("--once during a trial: exit code %d\n%s", code, out)
	}
	if code, out := h.RunAgent("confirm", "--id", "other"); code != 2 {
		t.Errorf("confirm of another trial: exit code %d\n%s", code, out)
	}
	if code, out := h.RunAgent("confirm", "--spec", tried); code != 2 || !strings.Contains(out, "what is tried becomes "+pair.SpecFile) {
		t.Errorf("confirm for another file: exit code %d\n%s", code, out)
	}
	if code, out := h.RunAgent("try", "--end", "--id", "other"); code != 0 || !strings.Contains(out, "nothing to end") || servers(h) != 2 {
		t.Errorf("end of another trial: exit code %d\n%s", code, out)
	}
	if code, out := h.RunAgent("try", "--end", "--spec", tried); code != 2 || !strings.Contains(out, "it goes back to "+pair.SpecFile) || servers(h) != 2 {
		t.Errorf("end for another file: exit code %d\n%s", code, out)
	}
	if s, _ := h.Status(); s.Trial == nil || s.Trial.By == "" || len(s.Services) != 1 || len(s.Services[0].Servers) != 2 {
		t.Errorf("the status does not tell of what is tried: %+v", s)
	}
	h.Shell("systemctl start rlb-agent")
	w.Never("the daemon ends the trial", 2*time.Second, func() bool { return servers(h) != 2 })
	if code, out := h.RunAgent("confirm", "--spec", pair.SpecFile); code != 0 {
		t.Errorf("confirm: exit code %d\n%s", code, out)
	}
	out, code := end()
	if code != 0 || !strings.Contains(out, "confirmed") {
		t.Errorf("the confirmed trial: exit code %d\n%s", code, out)
	}
	if got := h.Shell("cat " + pair.SpecFile); got != e2e.TwoServers() || h.Shell("cat "+pair.SpecFile+".replaced") != e2e.Spec() {
		t.Errorf("the spec after confirm:\n%s", got)
	}
	w.Never("the daemon undoes what was confirmed", 2*time.Second, func() bool { return servers(h) != 2 })
	h.Shell("systemctl stop rlb-agent")
	next := h.Converges("confirm")
	e2e.Row(t, "try: confirmed", stop(), e2e.Brief(out), next)
	if code, out := h.RunAgent("confirm"); code != 2 {
		t.Errorf("confirm without a trial: exit code %d\n%s", code, out)
	}

	// the standby is rebooted during its trial
	before = standby.Shell("cat /etc/haproxy/haproxy.cfg " + pair.SpecFile)
	stop = w.Steady("rebooted")
	standby.Shell("systemd-run --quiet --collect --unit=trying " + pair.Agent + " try --timeout 10m " + tried)
	w.Eventually("the trial is in force", 10*time.Second, func() bool { return servers(standby) == 2 })
	time.Sleep(time.Second)
	if err := standby.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	over(standby, "rebooted", before)
	e2e.Row(t, "try: host rebooted (standby)", stop(), "", "went back at boot; nothing to do")
}

// TestTryOnANewHost: if no spec was ever in force, there is nothing to go back to.
func TestTryOnANewHost(t *testing.T) {
	w := e2e.New(t)
	h := w.Hosts(true, lab.Trixie)[0]
	h.WriteSpec(e2e.Spec())
	before := h.State()
	if code, out := h.RunAgent("try", pair.SpecFile); code != 2 || !strings.Contains(out, "there is nothing to go back to") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if after := h.State(); after != before {
		t.Errorf("the host changed:\n%s", e2e.Difference(before, after))
	}
}
