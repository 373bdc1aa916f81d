package edit

import (
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// TestUpgradeCommand: on the active host of a pair the upgrade command moves the virtual IP first, so no new connection
// fails.
func TestUpgradeCommand(t *testing.T) {
	w := e2e.New(t)
	active, standby := w.Pair(e2e.Spec(pair.Nodes), lab.Bookworm, lab.Trixie)
	e2e.StartDaemon(active, standby)
	installed := func(name string) string { return active.Must("dpkg-query", "-W", "-f", "${Version}", name) }
	old := installed("haproxy")
	for _, name := range []string{"haproxy", "keepalived"} {
		if err := active.AddRepackaged(t.Context(), name, installed(name)+"+new"); err != nil {
			t.Fatal(err)
		}
	}

	if code, out := active.RunAgent("upgrade", "--dry-run"); code != 1 || !strings.Contains(out, "upgrade haproxy "+old+" to "+old+"+new") || installed("haproxy") != old {
		t.Fatalf("dry run: exit code %d\n%s", code, out)
	}
	active.WriteSpec(e2e.Spec(pair.Nodes, "packages: {haproxy: {version: '"+old+"'}}"))
	if code, out := active.RunAgent("upgrade", "haproxy"); code != 0 || !strings.Contains(out, "packages.haproxy.version allows only "+old) || installed("haproxy") != old {
		t.Errorf("what the spec forbids: exit code %d\n%s", code, out)
	}
	active.WriteSpec(e2e.Spec(pair.Nodes))
	active.Converges("the spec without a version")

	stop := w.StartProbe()
	if code, out := active.RunAgent("upgrade"); code != 0 {
		t.Fatalf("upgrade: exit code %d\n%s", code, out)
	}
	w.Eventually("the peer is active", 5*time.Second, func() bool { return standby.Active() && !active.Active() })
	report := stop()
	e2e.Row(t, "upgrade of both programs on the active host", report, installed("haproxy"), installed("keepalived"))
	// the programs are replaced after a drain with a wait: no connection is refused or reset. Some may time out on a busy
	// machine.
	if cut := report.Failed - report.Errors["timeout"]; cut > 0 || e2e.Within(report, 250*time.Millisecond) != nil {
		t.Errorf("upgrade: %d of %d failed, gap %v: %v", report.Failed, report.Total, report.Gap, report.Errors)
	}
	for _, name := range []string{"haproxy", "keepalived"} {
		if got := installed(name); !strings.HasSuffix(got, "+new") {
			t.Errorf("%s is %s", name, got)
		}
	}
	if held := active.Must("apt-mark", "showhold"); !strings.Contains(held, "haproxy") || !strings.Contains(held, "keepalived") {
		t.Errorf("held: %s", held)
	}
	if code, out := active.RunAgent("upgrade"); code != 0 || !strings.Contains(out, "nothing to do") {
		t.Errorf("the second upgrade: exit code %d\n%s", code, out)
	}

	// the host is eligible again: the virtual IP returns when the peer gives it up
	standby.Must(pair.Agent, "drain")
	w.Eventually("the upgraded host is active", 5*time.Second, active.Active)
	w.Serves("cp1", "cp2", "cp3")
	if err := active.AddRepackaged(t.Context(), "haproxy", old+"+newer"); err != nil {
		t.Fatal(err)
	}
	// the peer is drained: the refusal costs no connection, because nothing is tried
	w.Eventually("it knows that nobody would take over", 10*time.Second, func() bool {
		st, _ := active.Status()
		return st.Condition("Redundant").Status == "False"
	})
	began := strings.TrimSpace(active.Must("date", "+%s.%N"))
	code, out := 0, ""
	w.Judge("a refused upgrade", func() (lab.Report, error) {
		report := w.Losses(500*time.Millisecond, func() { code, out = active.RunAgent("upgrade") })
		e2e.Row(t, "upgrade with a peer that is drained", report, out, installed("haproxy"))
		return report, e2e.Lossless(report)
	})
	if code != 4 || !strings.Contains(out, "cannot upgrade this host") || !strings.Contains(out, "it is drained") || !strings.Contains(out, "--force") || !strings.HasSuffix(installed("haproxy"), "+new") {
		t.Errorf("with the peer drained: exit code %d\n%s", code, out)
	}
	if dryCode, dry := active.RunAgent("upgrade", "--dry-run"); dryCode != code || dry != out {
		t.Errorf("the dry run with the peer drained: exit code %d\n%s", dryCode, dry)
	}
	if moved := active.Shell("journalctl -q -u keepalived -o cat --since=@" + began); strings.Contains(moved, "Entering") {
		t.Errorf("the refused upgrade tried to move the virtual IP:\n%s", moved)
	}
	if code, out := active.RunAgent("upgrade", "--force"); code != 0 || !strings.HasSuffix(installed("haproxy"), "+newer") {
		t.Errorf("--force: exit code %d\n%s", code, out)
	}
	w.Serves("cp1", "cp2", "cp3")
}
