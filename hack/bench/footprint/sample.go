package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// sample has the kernel's counters of a process (proc(5)), since its start or between two samples.
type sample struct {
	took           time.Duration // since boot
	rss, anon      float64       // KiB, now
	files, threads int           // now

	voluntary, involuntary float64 // context switches of all threads
	cpu, childCPU          time.Duration
	childFaults            float64 // of children that were waited for; 0 without any
}

// tick is the unit of the times in /proc/PID/stat on Linux.
const tick = 10 * time.Millisecond

// measure samples a process; pid is an expression of the shell.
func measure(ctx context.Context, h *lab.Host, pid string) (s sample, err error) {
	out, err := h.Sh(ctx, `p=/proc/`+pid+`
cut -d' ' -f1 /proc/uptime
sed 's/.*) //' $p/stat
ls $p/fd | wc -l
cat $p/status $p/task/*/status $p/task/*/schedstat`)
	if err != nil {
		return s, err
	}
	all := lines(out)
	if len(all) < 4 {
		return s, fmt.Errorf("cannot understand %q", out)
	}
	uptime, err := strconv.ParseFloat(all[0], 64)
	if err != nil {
		return s, err
	}
	s.took = time.Duration(uptime * float64(time.Second))
	stat := strings.Fields(all[1]) // from field 3 on
	number := func(n int) float64 { v, _ := strconv.ParseFloat(stat[n-3], 64); return v }
	s.childFaults = number(11) + number(13)
	s.childCPU = time.Duration(number(16)+number(17)) * tick
	s.files, _ = strconv.Atoi(strings.TrimSpace(all[2]))
	process := true // the first status is that of the whole process
	for _, line := range all[3:] {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		v, _ := strconv.ParseFloat(words[1], 64)
		switch words[0] {
		case "VmRSS:":
			s.rss = v
		case "RssAnon:":
			s.anon = v
		case "Threads:":
			s.threads = int(v)
		case "voluntary_ctxt_switches:":
			if !process {
				s.voluntary += v
			}
		case "nonvoluntary_ctxt_switches:":
			if !process {
				s.involuntary += v
			}
			process = false
		default:
			if len(words) == 3 && !strings.HasSuffix(words[0], ":") { // schedstat: nanoseconds on a CPU, waiting, time slices
				ns, _ := strconv.ParseFloat(words[0], 64)
				s.cpu += time.Duration(ns)
			}
		}
	}
	return s, nil
}

// minus returns the difference of two samples.
func (s sample) minus(before sample) sample {
	s.took -= before.took
	s.voluntary -= before.voluntary
	s.involuntary -= before.involuntary
	s.cpu -= before.cpu
	s.childCPU -= before.childCPU
	s.childFaults -= before.childFaults
	return s
}

func (s sample) perSecond(count float64) float64 { return count / s.took.Seconds() }
