// Command edit measures how long an edit takes to become live while the daemon runs: from the rename of the spec to
// the moment when HAProxy has the change. "make bench-edit".
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// A kind is a kind of edit: the file that is edited, its text after the nth edit, and whether HAProxy has the
// change.
type kind struct {
	name string
	file string
	spec func(n int) string
	live func(h *lab.Host, n int) bool
}

var kinds = []kind{
	{"weight of a server", pair.SpecFile,
		func(n int) string {
			return strings.Replace(pair.Spec(3), "port: 6443}", fmt.Sprintf("port: 6443, weight: %d}", 10+n%2), 1)
		},
		func(h *lab.Host, n int) bool {
			return strings.Contains(ask(h, "get weight kube-apiserver/cp1"), fmt.Sprintf("%d (", 10+n%2))
		}},
	{"server added or removed", pair.SpecFile,
		func(n int) string { return pair.Spec(2 + n%2) },
		func(h *lab.Host, n int) bool { // a removed server gets no connections any more; it is deleted when it is idle
			serves, known := inRotation(h, "kube-apiserver", "cp3")
			return known && serves == (n%2 == 1)
		}},
	{"reload (maxConnections)", pair.SpecFile,
		func(n int) string { return pair.Spec(3, fmt.Sprintf("proxy: {maxConnections: %d}", 2000+n%2)) },
		func(h *lab.Host, n int) bool {
			return strings.Contains(ask(h, "show info"), fmt.Sprintf("\nMaxconn: %d\n", 2000+n%2))
		}},
	{"reload, check changed", pair.SpecFile,
		func(n int) string {
			return strings.Replace(pair.Spec(3, fmt.Sprintf("proxy: {maxConnections: %d}", 3000+n%2)), "  servers:", fmt.Sprintf("  healthCheck: {timeout: %ds}\n  servers:", 2-n%2), 1)
		},
		func(h *lab.Host, n int) bool {
			return strings.Contains(ask(h, "show info"), fmt.Sprintf("\nMaxconn: %d\n", 3000+n%2))
		}},
}

func main() {
	binary := flag.String("agent", "bin/rlb-agent", "the agent's binary")
	confdProgram := flag.String("confd", "", "the program of confd, which is measured too then")
	n := flag.Int("n", 20, "how many edits of each kind")
	flag.Parse()
	lab.Main("edit", func(ctx context.Context) error {
		return lab.OnStage(ctx, lab.Options{}, 3, func(stage *lab.Stage) error { return run(ctx, stage, *binary, *confdProgram, *n) })
	})
}

func run(ctx context.Context, stage *lab.Stage, binary, confdProgram string, n int) error {
	h, err := pair.Single(ctx, stage, lab.Trixie, binary, pair.Spec(3))
	if err != nil {
		return err
	}
	fmt.Printf("from the rename of the spec to HAProxy having it, Debian 13, %d edits each, ms\n\n%-31s %8s %8s %8s\n", n, "", "median", "least", "most")
	for _, k := range kinds {
		if err := edits(ctx, h, k, n); err != nil {
			return err
		}
	}
	var took []time.Duration
	time.Sleep(3 * time.Second)
	for range n {
		out, err := h.Sh(ctx, `systemctl stop rlb-agent; a=$(date +%s%N); rlb-agent --once 2>&1; b=$(date +%s%N); echo; echo $(( (b-a)/1000 ))`)
		if err != nil {
			return err
		}
		lines := strings.Fields(out)
		var us int
		if _, err := fmt.Sscan(lines[len(lines)-1], &us); err != nil {
			return err
		}
		took = append(took, time.Duration(us)*time.Microsecond)
	}
	row("--once, nothing to do", took)
	if confdProgram == "" {
		return nil
	}
	if err := startConfd(ctx, h, confdProgram); err != nil {
		return fmt.Errorf("confd: %w", err)
	}
	return edits(ctx, h, confd, n)
}

// edits makes n edits of a kind.
func edits(ctx context.Context, h *lab.Host, k kind, n int) error {
	var took []time.Duration
	for i := range n {
		time.Sleep(2 * time.Second) // until the agent has verified the previous edit
		t, err := edit(ctx, h, k, i)
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		took = append(took, t)
	}
	row(k.name, took)
	return nil
}

func row(name string, took []time.Duration) {
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	fmt.Printf("%-31s %8.0f %8.0f %8.0f\n", name, ms(took[len(took)/2]), ms(took[0]), ms(took[len(took)-1]))
}

// edit makes the nth edit and waits until it is live.
func edit(ctx context.Context, h *lab.Host, k kind, n int) (time.Duration, error) {
	spec := inside(h, k.file)
	if err := os.WriteFile(spec+".new", []byte(k.spec(n)), 0o644); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := os.Rename(spec+".new", spec); err != nil {
		return 0, err
	}
	for !k.live(h, n) {
		if time.Since(began) > 15*time.Second || ctx.Err() != nil {
			journal, _ := h.Run(context.WithoutCancel(ctx), "journalctl", "-u", "rlb-agent", "-n", "20", "-o", "short-precise", "--no-pager")
			return 0, fmt.Errorf("edit %d is not live after %v:\n%s", n, time.Since(began), journal)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(began), nil
}

// inside returns the path on this machine of a path on the host.
func inside(h *lab.Host, path string) string {
	return filepath.Join("/proc", fmt.Sprint(h.Pid()), "root", path)
}
