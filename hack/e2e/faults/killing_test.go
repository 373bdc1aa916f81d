package faults

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
)

// killing enumerates the effects of a command. The agent is killed after each of them and, for writes of files, in the
// middle of each. A kill before an effect is the same as after the previous one: nothing changes in between.
type killing struct {
	h      *e2e.Host
	args   []string
	before func()          // makes the state in which the command has something to do
	after  func(at string) // called after each kill, before the next runs
	shard  int             // number of this part of the points
	shards int             // number of parts; 0: all points

	effects []string // of the command
}

// killPoint is a point at which the agent is killed.
type killPoint struct {
	action string
	number int
	effect string // the effect before, in or after which it is killed
}

// numbered matches the number of a generation in the name of an effect.
var numbered = regexp.MustCompile(`/\d+`)

// all kills the agent at every point and returns the number of points. Afterwards the state is that after the command.
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

// points returns the points of a complete run of the command.
func (k *killing) points() (points []killPoint) {
	t, h := k.h.World, k.h
	t.Helper()
	h.Shell("rm -f /run/effects")
	if code, out := h.RunFaulty("count:/run/effects", k.args...); code != 0 {
		t.Fatalf("%v: exit code %d\n%s", k.args, code, out)
	}
	k.effects = strings.Split(strings.TrimSpace(h.Shell("cat /run/effects")), "\n")
	all, which := killPoints(k.effects), cmp.Or(os.Getenv("RLB_KILL_POINTS"), strconv.FormatInt(time.Now().Unix()/(24*60*60), 10))
	some := chosen(all, which)
	t.Logf("%s: %v has %d effects, and is killed at %d of %d points (RLB_KILL_POINTS=%s):\n%s", h.Name(), k.args, len(k.effects), len(some), len(all), which, strings.Join(k.effects, "\n"))
	for i, p := range some {
		if k.shards == 0 || i%k.shards == k.shard {
			points = append(points, p)
		}
	}
	return points
}

// killPoints returns all points of a command with these effects.
func killPoints(effects []string) (points []killPoint) {
	for i, effect := range effects {
		for _, action := range []string{"kill-before", "torn", "kill-after"} {
			if action == "torn" && !strings.HasPrefix(effect, "WriteFile") || action == "kill-before" && i > 0 {
				continue
			}
			points = append(points, killPoint{action, i + 1, effect})
		}
	}
	return points
}

// oneIn: of the points that are not the first of their class, one in four is tested.
const oneIn = 4

// chosen returns the points of a run: all, or those that a number chooses; by default the number is the day's, so that
// a repeated test has the same points. An agent that is killed at a point of a class (see killPoint.class) leaves the
// same kind of work as at the others, so each run has the first point of each class, and one in four of the others. The
// tests of package reconcile kill at all points, on a fake host; "make kill-points" does so on real ones.
func chosen(all []killPoint, which string) (points []killPoint) {
	if which == "all" {
		return all
	}
	seed := fnv.New64()
	seed.Write([]byte(which))
	random := rand.New(rand.NewPCG(seed.Sum64(), 0))
	seen := map[string]bool{}
	for _, p := range all {
		if class := p.class(); !seen[class] || random.IntN(oneIn) == 0 {
			seen[class] = true
			points = append(points, p)
		}
	}
	return points
}

// class identifies similar points: how the agent is killed, and the effect with at most three parts of its path. So the
// files of a generation are one class, and haproxy.cfg is a class of its own.
func (p killPoint) class() string {
	parts := strings.SplitN(p.effect, "/", 5)
	return p.action + " " + strings.Join(parts[:min(4, len(parts))], "/")
}

// noMore runs the command to its end: it has no more effects than enumerated.
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

func TestChosen(t *testing.T) {
	var effects []string
	for i := range 40 {
		effects = append(effects, fmt.Sprintf("WriteFile /var/lib/rlb/generations/7/files/%d", i))
	}
	effects = append(effects, "WriteFile /etc/haproxy/haproxy.cfg", "ReloadUnit haproxy.service", "WriteFile /etc/keepalived/keepalived.conf")
	all := killPoints(effects)
	if n := len(chosen(all, "all")); n != len(all) || n != 2*len(effects) { // before the first effect, after each, and in the middle of each write of a file
		t.Errorf("all are %d of %d points", n, len(all))
	}
	classes := func(points []killPoint) (of []string) {
		for _, p := range points {
			of = append(of, p.class())
		}
		slices.Sort(of)
		return slices.Compact(of)
	}
	ever := map[killPoint]bool{}
	for number := range 40 {
		some := chosen(all, strconv.Itoa(number))
		if !slices.Equal(classes(some), classes(all)) || !slices.Equal(some, chosen(all, strconv.Itoa(number))) {
			t.Fatalf("%d chooses %v", number, some)
		}
		if len(some) > len(all)/2 {
			t.Errorf("%d chooses %d of %d", number, len(some), len(all))
		}
		for _, p := range some {
			ever[p] = true
		}
	}
	if len(ever) != len(all) {
		t.Errorf("40 numbers choose %d of %d points", len(ever), len(all))
	}
}
