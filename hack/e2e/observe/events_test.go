package observe

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// TestEvents: the events of a real pair with their causes, from the journals of both hosts.
func TestEvents(t *testing.T) {
	w := e2e.New(t)
	active, standby := w.Pair(e2e.Spec(pair.Nodes), lab.Trixie, lab.Bookworm)
	e2e.StartDaemon(active, standby)
	last := map[string]string{}
	story := func(h *e2e.Host) string {
		last[h.Name()] = h.Must(pair.Agent, "events", "--since", "10m")
		return last[h.Name()]
	}
	tells := func(h *e2e.Host, want ...string) {
		t.Helper()
		w.Eventually(h.Name()+" tells: "+strings.Join(want, " "), 10*time.Second, func() bool {
			for line := range strings.Lines(story(h)) {
				all := true
				for _, part := range want {
					all = all && strings.Contains(line, part)
				}
				if all {
					return true
				}
			}
			return false
		})
	}
	t.Cleanup(func() {
		if t.Failed() {
			for name, text := range last {
				t.Logf("the last story of %s:\n%s", name, text)
			}
		}
	})

	mode := func(m lab.Mode) {
		t.Helper()
		if err := w.Planes[0].Set(m); err != nil {
			t.Fatal(err)
		}
	}
	mode(lab.Refuse)
	tells(active, "server cp1 is down", "refused")
	mode(lab.OK)
	tells(active, "server cp1 is up")

	active.Shell(`cp /usr/bin/logger /usr/bin/sudo # logs as sudo does, and the journal knows the program while it runs
		(echo 'alice : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/systemctl stop haproxy'; sleep 1) | /usr/bin/sudo -t sudo -p authpriv.notice &
		systemctl stop haproxy; wait`)
	tells(active, "may not hold the virtual IPs (FAULT)", "alice ran systemctl stop haproxy with sudo")
	if out := active.Shell("timeout 3 " + pair.Agent + " events -f --since 10m || true"); !strings.Contains(out, "  alice ran systemctl stop haproxy with sudo\n") {
		t.Errorf("events -f:\n%s", out)
	}
	tells(standby, "took the virtual IPs (MASTER)", "took over")
	active.Must("systemctl", "start", "haproxy")
	tells(active, "HAProxy was started")
	w.Eventually("it is a standby again", 10*time.Second, func() bool { s, _ := active.Status(); return s.Role == "BACKUP" })

	standby.Must(pair.Agent, "drain")
	tells(standby, "ran rlb-agent drain", "done")
	tells(standby, "may not hold the virtual IPs (FAULT)", "ran rlb-agent drain")
	tells(active, "took the virtual IPs (MASTER)", "took over")

	if out := active.Must(pair.Agent, "events", "--since", "10m", "-o", "json"); !strings.Contains(out, `"kind":"Role"`) {
		t.Errorf("as JSON:\n%s", out)
	}
	// the status has the last of them
	if out, _ := active.Run(w.Context(), pair.Agent, "status"); !regexp.MustCompile(`(?m)^Event +\d\d:\d\d:\d\d +took the virtual IPs \(MASTER\)`).MatchString(out) {
		t.Errorf("the status tells of no event:\n%s", out)
	}
	// any user can log under the agent's name: only messages from root and the units count
	active.Shell("setpriv --reuid 65534 --regid 65534 --clear-groups logger -t rlb-agent 'entering FAULT: forged'")
	if out := story(active); strings.Contains(out, "forged") {
		t.Errorf("a forged message is in the story:\n%s", out)
	}
	// the daemon's own log has the role too, once
	if n := strings.Count(standby.Must("journalctl", "-u", "rlb-agent", "-o", "cat", "--no-pager"), "this host is MASTER"); n != 1 {
		t.Errorf("the daemon logged %d times that it is MASTER", n)
	}

	// journalctl -u rlb-agent has the commands that were run in a shell, and events has each once
	standby.Must(pair.Agent, "undrain")
	standby.WriteFile("/root/new.yaml", []byte(e2e.Spec(pair.Nodes, "reconcile: {interval: 59s}")), 0o600)
	standby.Must(pair.Agent, "try", "--detach", "/root/new.yaml")
	standby.Must(pair.Agent, "confirm")
	standby.Must(pair.Agent, "rollback")
	log := standby.Shell("journalctl --sync; journalctl -q -u rlb-agent -o cat --no-pager")
	told := story(standby)
	for _, command := range []string{"drain", "undrain", "try /root/new.yaml --detach", "confirm", "rollback"} {
		note := regexp.MustCompile(`(?m)ran rlb-agent ` + regexp.QuoteMeta(command) + ` \([^)]*\): done$`)
		if in, of := len(note.FindAllString(log, -1)), len(note.FindAllString(told, -1)); in != 1 || of != 1 {
			t.Errorf("rlb-agent %s: %d times in the journal of the unit, %d times in the story\n%s", command, in, of, log)
		}
	}

	// an error is printed once, and logged once as the result of the failed command
	standby.WriteFile("/root/bad.yaml", []byte(e2e.Spec(pair.Nodes, "proxi: {}")), 0o600)
	standby.WriteFile("/root/refused.yaml", []byte(e2e.Spec(pair.Nodes, "proxy: {extraGlobal: [bogus-keyword]}")), 0o600)
	for command, says := range map[string]string{
		"--once --spec /root/bad.yaml": "proxi: unknown field", "try /root/bad.yaml": "proxi: unknown field",
		"--once --spec /root/refused.yaml": "unknown keyword 'bogus-keyword'", "try /root/refused.yaml": "unknown keyword 'bogus-keyword'",
		"rollback 99": "generation 99",
	} {
		since := strings.TrimSpace(standby.Must("date", "+%s.%N"))
		code, out := standby.RunAgent(strings.Fields(command)...)
		noted := standby.Shell("journalctl --sync; journalctl -q -o cat --no-pager --since=@" + since + " SYSLOG_IDENTIFIER=rlb-agent | grep -F 'ran rlb-agent' || true")
		t.Logf("%s: exit code %d\n%s\nnoted:\n%s", command, code, out, noted)
		if code < 2 || strings.Count(out, says) != 1 || strings.Count(noted, says) != 1 {
			t.Errorf("%s: printed %d times, noted %d times", command, strings.Count(out, says), strings.Count(noted, says))
		}
	}
}
