package faults

import (
	"fmt"
	"regexp"
	"strings"

	"rlb.dev/rlb-agent/hack/e2e"
)

// killing enumerates the effects of a command: the agent is killed before, after and, where a file is written, in the
// middle of each of them.
type killing struct {
	h      *e2e.Host
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
	k.h.World.Helper()
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
	t, h := k.h.World, k.h
	t.Helper()
	h.Shell("rm -f /run/effects")
	if code, out := h.RunFaulty("count:/run/effects", k.args...); code != 0 {
		t.Fatalf("%v: exit code %d\n%s", k.args, code, out)
	}
	k.effects = strings.Split(strings.TrimSpace(h.Shell("cat /run/effects")), "\n")
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
	k.h.World.Helper()
	if code, out := k.h.RunFaulty(fmt.Sprintf("kill-before:%d", len(k.effects)+1), k.args...); code != 0 {
		k.h.World.Errorf("%v has more than %d effects: exit code %d\n%s", k.args, len(k.effects), code, out)
	}
}

// at kills the agent once.
func (k *killing) at(p killPoint) {
	t, h := k.h.World, k.h
	t.Helper()
	at := fmt.Sprintf("%s:%d", p.action, p.number)
	code, out := h.RunFaulty("count:/run/at;"+at, k.args...)
	if last := strings.TrimSpace(h.Shell("tail -n 1 /run/at; rm /run/at")); code != 137 || numbered.ReplaceAllString(last, "/N") != numbered.ReplaceAllString(p.effect, "/N") {
		t.Fatalf("%v, %s: exit code %d at %q, want to be killed at %q\n%s", k.args, at, code, last, p.effect, out)
	}
	k.after(fmt.Sprintf("%s (%s)", at, p.effect))
}
