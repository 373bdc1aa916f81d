package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// fault runs the agent with faults (see reconcile/faulty) and returns its exit code, 137 where it was killed, and all
// that it said.
func (h *host) fault(faults string, args ...string) (int, string) {
	h.w.Helper()
	out, code := h.exit("RLB_FAULT='" + faults + "' " + faulty + " " + strings.Join(args, " "))
	return code, out
}

// stall is how long the probe itself must have been kept waiting for what it saw to be the machine's doing.
const stall = 150 * time.Millisecond

// steady asks the service 200 times a second until the returned function is called, which fails the test for every
// failed connection.
func (w *world) steady(what string) (stop func() lab.Report) {
	w.Helper()
	count := w.counting()
	return func() lab.Report {
		w.Helper()
		report := count()
		if report.Failed > 0 && report.Late > stall {
			w.Logf("%s: %d of %d connections failed, but the machine itself stood still for %v: not judged", what, report.Failed, report.Total, report.Late)
		} else if report.Failed > 0 || report.Total == 0 {
			w.Errorf("%s: %d of %d connections failed: %v", what, report.Failed, report.Total, report.Errors)
		}
		return report
	}
}

// counting is steady without a verdict.
func (w *world) counting() (stop func() lab.Report) {
	w.Helper()
	p, err := w.client.Probe(service, lab.ProbeOptions{Timeout: time.Second})
	if err != nil {
		w.Fatal(err)
	}
	return p.Stop
}

// row is a line of the table of faults: what failed, what clients saw, what the agent said, what the next run did.
func row(t testing.TB, fault string, report lab.Report, said, next string) {
	t.Helper()
	seen := "no service then"
	if report.Total > 0 {
		seen = fmt.Sprintf("%d of %d failed", report.Failed, report.Total)
	}
	t.Logf("| %s | %s | %s | %s |", fault, seen, brief(said), brief(next))
}

// brief is the line of an output that tells most: the agent's last word.
func brief(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for _, line := range lines {
		if text, ok := strings.CutPrefix(line, "rlb-agent: "); ok {
			return text
		}
	}
	return lines[len(lines)-1]
}

// killing enumerates the effects of a command: the agent is killed before, after and, where a file is written, in the
// middle of each of them.
type killing struct {
	h      *host
	args   []string
	before func()          // makes the state in which the command has something to do
	after  func(at string) // after each kill: the next runs
	sparse bool            // before an effect is after the one before it: nothing changes in between
	shard  int             // which part of the effects, of
	shards int             // so many; 0 for all

	effects []string // of the command
}

// killPoint is where the agent is killed.
type killPoint struct {
	action string
	number int
	effect string // before, in or after which it is killed
}

// numbered is the number of a generation in the name of an effect.
var numbered = regexp.MustCompile(`/\d+`)

// all kills the agent everywhere and returns the number of points. The state is then as after the command.
func (k *killing) all() int {
	k.h.w.Helper()
	k.before()
	points := k.points()
	for _, p := range points {
		k.before()
		k.at(p)
	}
	k.before()
	k.noMore()
	return len(points)
}

// points are those of one run of the command, which comes to its end.
func (k *killing) points() (points []killPoint) {
	t, h := k.h.w, k.h
	t.Helper()
	h.sh("rm -f /run/effects")
	if code, out := h.fault("count:/run/effects", k.args...); code != 0 {
		t.Fatalf("%v: exit code %d\n%s", k.args, code, out)
	}
	k.effects = strings.Split(strings.TrimSpace(h.sh("cat /run/effects")), "\n")
	t.Logf("%s: %v has %d effects:\n%s", h.Name(), k.args, len(k.effects), strings.Join(k.effects, "\n"))
	for i, effect := range k.effects {
		if k.shards > 0 && i%k.shards != k.shard {
			continue
		}
		for _, action := range []string{"kill-before", "torn", "kill-after"} {
			if action == "torn" && !strings.HasPrefix(effect, "WriteFile") || action == "kill-before" && k.sparse && i > 0 {
				continue
			}
			points = append(points, killPoint{action, i + 1, effect})
		}
	}
	return points
}

// noMore runs the command to its end: it has no more effects than those that were enumerated.
func (k *killing) noMore() {
	k.h.w.Helper()
	if code, out := k.h.fault(fmt.Sprintf("kill-before:%d", len(k.effects)+1), k.args...); code != 0 {
		k.h.w.Errorf("%v has more than %d effects: exit code %d\n%s", k.args, len(k.effects), code, out)
	}
}

// at kills the agent once.
func (k *killing) at(p killPoint) {
	t, h := k.h.w, k.h
	t.Helper()
	at := fmt.Sprintf("%s:%d", p.action, p.number)
	code, out := h.fault("count:/run/at;"+at, k.args...)
	if last := strings.TrimSpace(h.sh("tail -n 1 /run/at; rm /run/at")); code != 137 || numbered.ReplaceAllString(last, "/N") != numbered.ReplaceAllString(p.effect, "/N") {
		t.Fatalf("%v, %s: exit code %d at %q, want to be killed at %q\n%s", k.args, at, code, last, p.effect, out)
	}
	k.after(fmt.Sprintf("%s (%s)", at, p.effect))
}

// converges says that the next run comes to its end, and that the one after it has nothing to do.
func (h *host) converges(after string) (first string) {
	h.w.Helper()
	code, first := h.code("--once")
	if code != 0 {
		h.w.Fatalf("%s: after %s the next run fails: exit code %d\n%s", h.Name(), after, code, first)
	}
	if code, out := h.code("--once"); code != 0 || !strings.Contains(out, "nothing to do") {
		h.w.Fatalf("%s: after %s the run after the next: exit code %d\n%s", h.Name(), after, code, out)
	}
	return first
}
