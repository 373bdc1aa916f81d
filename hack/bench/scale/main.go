// Command scale measures the cost of a spec by its size: to parse and validate it, to render it, to look at a host with
// the files of a spec that differs in one server, to plan, and to print the difference; and the cost to refuse a spec
// with an error in each server. Each size runs in a process of its own, whose peak memory is reported. Times are CPU
// times, so other work on the machine does not count: "make scale".
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/api/yamlfile"
	"rlb.dev/rlb-agent/cmd/rlb-agent/daemon"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/render"
)

// The targets for the most servers.
const (
	most      = 100_000
	mostTime  = time.Second
	mostBytes = 300 << 20
)

// figures are the cost of a size.
type figures struct {
	Servers                         int
	Parse, Render, Look, Diff, Fail time.Duration
	Peak                            int64 // bytes
}

func (f figures) total() time.Duration { return f.Parse + f.Render + f.Look + f.Diff }

func main() {
	one := flag.Int("one", 0, "measure this number of servers in this process, and print the figures in JSON")
	flag.Parse()
	if *one > 0 {
		f, err := measure(*one)
		if err == nil {
			err = json.NewEncoder(os.Stdout).Encode(f)
		}
		exit(err)
		return
	}
	exit(curve())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

// curve prints a line for each size, and fails if the targets are missed.
func curve() error {
	fmt.Println("servers     parse    render   look+plan  diff     total    peak MiB  refuse")
	for n := 10; n <= most; n *= 10 {
		cmd := exec.Command(os.Args[0], "-one", strconv.Itoa(n)) //nolint:gosec // this program
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("cannot measure %d servers: %w", n, err)
		}
		var f figures
		if err := json.Unmarshal(out, &f); err != nil {
			return err
		}
		ms := func(d time.Duration) string { return fmt.Sprintf("%-8s ", d.Round(100*time.Microsecond)) }
		fmt.Printf("%-10d  %s%s%s  %s%s%-9d %s\n", n, ms(f.Parse), ms(f.Render), ms(f.Look), ms(f.Diff), ms(f.total()), f.Peak>>20, ms(f.Fail))
		if n == most && (f.total() > mostTime || f.Peak > mostBytes) {
			return fmt.Errorf("%d servers take %v and %d MiB: must be at most %v and %d MiB", n, f.total().Round(time.Millisecond), f.Peak>>20, mostTime, mostBytes>>20)
		}
	}
	return nil
}

// spec returns a spec with n servers, at most 10,000 per service. last is the port of the last one.
func spec(n, last int, address string) []byte {
	var b strings.Builder
	b.WriteString("apiVersion: rlb.dev/v1\nkind: LoadBalancerSpec\nvirtualIPs: [198.51.100.240]\nservices:\n")
	for i := range n {
		if i%10_000 == 0 {
			fmt.Fprintf(&b, "- name: s%d\n  port: %d\n  servers:\n", i/10_000, 1000+i/10_000)
		}
		port := 8080
		if i == n-1 {
			port = last
		}
		fmt.Fprintf(&b, "  - {name: n%d, address: "+address+", port: %d}\n", i, 1+i/40_000, i/200%200, i%200+1, port)
	}
	return []byte(b.String())
}

// measure takes the steps of a dry run after an edit of one server.
func measure(n int) (f figures, err error) {
	f.Servers = n
	text := spec(n, 9090, "10.%d.%d.%d")
	daemon.SaveTime() // as a command does
	daemon.SaveMemory(len(text))
	h, err := hostWith(n)
	if err != nil {
		return f, err
	}
	resetPeak()
	clock := newClock()
	doc, err := api.Parse("spec.yaml", text)
	if err != nil {
		return f, err
	}
	doc.Warnings(api.HostFacts{})
	f.Parse = clock.lap()
	facts, _, err := plan.FactFinder{Observer: h}.Find(context.Background(), &doc.Spec)
	if err != nil {
		return f, err
	}
	clock.lap()
	desired, err := plan.Want(&doc.Spec, facts)
	if err != nil {
		return f, err
	}
	f.Render = clock.lap()
	observed, err := plan.Observe(context.Background(), h, desired)
	if err != nil {
		return f, err
	}
	look := plan.Look{Desired: desired, Observed: observed, Plan: plan.NewPlan(desired, observed)}
	f.Look = clock.lap()
	changed := 0
	for _, diff := range look.FileDiffs() {
		changed += strings.Count(diff, ":9090 ")
	}
	f.Diff = clock.lap()
	if changed != 1 {
		return f, fmt.Errorf("the difference shows the new port %d times, not once", changed)
	}
	f.Peak = peak()
	wrong := spec(n, 9090, "10.%d.%d.%d_")
	clock.lap()
	_, err = api.Parse("spec.yaml", wrong)
	var problems yamlfile.Problems
	if !errors.As(err, &problems) || len(problems) > yamlfile.MaxProblems+1 {
		return f, fmt.Errorf("%d problems: %w", len(problems), err)
	}
	_ = problems.Excerpts()
	f.Fail = clock.lap()
	return f, nil
}

// hostWith returns a host with the files of the spec before the edit.
func hostWith(n int) (*fake.Host, error) {
	h := fake.New()
	doc, err := api.Parse("spec.yaml", spec(n, 8080, "10.%d.%d.%d"))
	if err != nil {
		return nil, err
	}
	facts, _, err := plan.FactFinder{Observer: h}.Find(context.Background(), &doc.Spec)
	if err != nil {
		return nil, err
	}
	rendered, err := render.Render(&doc.Spec, facts)
	if err != nil {
		return nil, err
	}
	for _, file := range rendered.Files {
		h.Put(file.Path, string(file.Data), file.Mode)
	}
	return h, nil
}

// clock measures CPU time of all threads.
type clock time.Duration

func newClock() *clock {
	c := new(clock)
	c.lap()
	return c
}

// lap returns the time since the last lap.
func (c *clock) lap() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	now := clock(usage.Utime.Nano() + usage.Stime.Nano())
	took := now - *c
	*c = now
	return time.Duration(took)
}

// resetPeak resets the peak memory (proc_pid_clear_refs(5), 5).
func resetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// peak returns the peak memory since then, in bytes.
func peak() int64 {
	data, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(data)) {
		if words := strings.Fields(line); len(words) == 3 && words[0] == "VmHWM:" {
			kibibytes, _ := strconv.ParseInt(words[1], 10, 64)
			return kibibytes << 10
		}
	}
	return 0
}
