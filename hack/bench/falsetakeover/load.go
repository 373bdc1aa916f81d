package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
	"rlb.dev/rlb-agent/reconcile/headroom"
)

// A load keeps the hosts busy for a while. It ends by itself, and needs at most 64 MiB of disk space.
type load struct {
	name string
	make func(ctx context.Context, stage *lab.Stage, hosts []*lab.Host, o options) error
}

var loads = []load{
	{"none", func(ctx context.Context, _ *lab.Stage, _ []*lab.Host, o options) error { return pause(ctx, o.during) }},
	{"cpu", everywhere(`for core in $(seq $(($(nproc) * 2))); do timeout "$1" sh -c 'while :; do :; done' & done; wait`)},
	{"io", everywhere(`timeout "$1" sh -c 'while :; do dd if=/dev/zero of=/var/tmp/load bs=1M count=64 conv=fsync status=none; done'; rm -f /var/tmp/load`)},
	{"keepalived stalls", stalls},
	{"network stalls", partitions},
}

func loadNames() (names []string) {
	for _, l := range loads {
		names = append(names, l.name)
	}
	return names
}

// everywhere runs a script on both hosts. Its argument is the duration in seconds.
func everywhere(script string) func(context.Context, *lab.Stage, []*lab.Host, options) error {
	return func(ctx context.Context, _ *lab.Stage, hosts []*lab.Host, o options) error {
		return pair.Each(hosts, func(h *lab.Host) error {
			_, err := h.Run(ctx, "sh", "-c", script, "sh", fmt.Sprint(o.during.Seconds()))
			return err
		})
	}
}

// stalls stops keepalived's VRRP process on the active host once a second, like a virtual machine that stalls.
func stalls(ctx context.Context, _ *lab.Stage, hosts []*lab.Host, o options) error {
	return pair.Each(hosts, func(h *lab.Host) error {
		if !pair.Holds(h) {
			return nil
		}
		_, err := h.Run(ctx, "sh", "-c", `vrrp=$(pgrep -P $(systemctl show --value -p MainPID keepalived))
			for i in $(seq "$1"); do kill -STOP $vrrp; sleep "$2"; kill -CONT $vrrp; sleep 1; done`,
			"sh", strconv.Itoa(int(o.during/(time.Second+o.stall))), fmt.Sprint(o.stall.Seconds()))
		return err
	})
}

// partitions drops all frames between the hosts once a second.
func partitions(ctx context.Context, stage *lab.Stage, hosts []*lab.Host, o options) error {
	worst := time.Duration(0)
	for end := time.Now().Add(o.during); time.Now().Before(end); {
		took, err := stage.PartitionFor(o.stall, hosts[0], hosts[1])
		if err = errors.Join(err, pause(ctx, time.Second)); err != nil {
			return err
		}
		worst = max(worst, took)
	}
	fmt.Fprintf(os.Stderr, "  the longest network stall took %v\n", worst.Round(100*time.Microsecond))
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// recordRest is the greatest age of the agent's record: after this time the record covers everything before.
const recordRest = 6 * time.Second

// measure makes a load and returns its effects. The agents are restarted first, so that their records are empty.
func measure(ctx context.Context, stage *lab.Stage, hosts []*lab.Host, interval time.Duration, l load, o options) (figure, error) {
	f := figure{Interval: interval.String(), Load: l.name, During: o.during.String()}
	if err := pair.Each(hosts, func(h *lab.Host) error {
		_, err := h.Run(ctx, "systemctl", "restart", "rlb-agent")
		return err
	}); err != nil {
		return f, err
	}
	if err := calm(ctx, hosts, interval); err != nil {
		return f, err
	}
	if err := pause(ctx, 3*time.Second); err != nil { // until the agents have looked at everything
		return f, err
	}
	before, err := masters(ctx, hosts)
	if err != nil {
		return f, err
	}
	began, cpu := time.Now(), time.Duration(0)
	for _, h := range hosts {
		used, err := agentCPU(ctx, h)
		if err != nil {
			return f, err
		}
		cpu -= used
	}
	if err := l.make(ctx, stage, hosts, o); err != nil {
		return f, err
	}
	for _, h := range hosts {
		used, err := agentCPU(ctx, h)
		if err != nil {
			return f, err
		}
		cpu += used
	}
	f.CPU = float64(cpu) / 2 / float64(time.Since(began)) * 3600
	if err := pause(ctx, recordRest); err != nil {
		return f, err
	}
	after, err := masters(ctx, hosts)
	f.Takeovers = after - before
	for _, h := range hosts {
		r := recordOf(h)
		f.WorstGap, f.WorstLate, f.Allowed = max(f.WorstGap, r.WorstGap), max(f.WorstLate, r.WorstLate), max(f.Allowed, r.Allowed)
	}
	if f.Allowed < headroom.Span(interval) {
		err = errors.Join(err, errors.New("no agent measures"))
	}
	return f, err
}

// masters counts how often the hosts became MASTER since they booted.
func masters(ctx context.Context, hosts []*lab.Host) (n int, err error) {
	var mutex sync.Mutex
	err = pair.Each(hosts, func(h *lab.Host) error {
		out, err := h.Run(ctx, "journalctl", "-b", "--no-pager", "-o", "cat", "-u", "keepalived")
		mutex.Lock()
		defer mutex.Unlock()
		n += strings.Count(out, "Entering MASTER STATE")
		return err
	})
	return n, err
}

// agentCPU returns the CPU time of the agent since its start, all threads (proc(5), schedstat).
func agentCPU(ctx context.Context, h *lab.Host) (total time.Duration, err error) {
	out, err := h.Sh(ctx, "cat /proc/$(systemctl show --value -p MainPID rlb-agent)/task/*/schedstat")
	for line := range strings.Lines(out) {
		if words := strings.Fields(line); len(words) == 3 {
			ns, _ := strconv.ParseInt(words[0], 10, 64)
			total += time.Duration(ns)
		}
	}
	return total, err
}
