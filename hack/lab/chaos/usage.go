package chaos

import (
	"context"
	"fmt"
	"slices"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// program is a program whose memory and open files, over all its processes, must not grow.
type program struct {
	unit                   string
	pids                   string // the property of the unit that leads to its processes
	mostMemory, growMemory int    // KiB of its own memory
	mostFiles, growFiles   int
}

// programs are the programs that always run on a host. Of the agent only the daemon counts: the checks that it starts come
// and go.
var programs = []program{
	{unit: "rlb-agent", pids: "MainPID", mostMemory: 24 << 10, growMemory: 6 << 10, mostFiles: 64, growFiles: 10},
	{unit: "haproxy", pids: "ControlGroup", mostMemory: 64 << 10, growMemory: 16 << 10, mostFiles: 96, growFiles: 24},
	{unit: "keepalived", pids: "ControlGroup", mostMemory: 16 << 10, growMemory: 4 << 10, mostFiles: 96, growFiles: 16},
}

const growProcesses = 8 // on a host

const (
	// settle is the time after which HAProxy has closed connections that their client closed (timeout client-fin: 10 s).
	settle = 11 * time.Second
	// vanished is the time after which TCP keep-alive has ended connections whose client vanished: those that were reset
	// while the virtual IPs were on the other host for less than 3 s (60 s and 3 times 10 s).
	vanished = 95 * time.Second
)

// used has a program's own memory in KiB and the number of its open files.
type used struct{ memory, files int }

// usage has the usage of each of the programs, and the number of processes on the host.
type usage struct {
	programs  []used
	processes int
}

func (r *run) usage(ctx context.Context) ([]usage, error) {
	r.close() // an old process of HAProxy lives as long as its connections
	time.Sleep(settle)
	all := make([]usage, len(r.hosts))
	err := pair.Each(r.hosts, func(h *lab.Host) error {
		at := &all[slices.Index(r.hosts, h)]
		for _, p := range programs {
			of := fmt.Sprintf("$(systemctl show -P %s %s)", p.pids, p.unit)
			if p.pids == "ControlGroup" {
				of = fmt.Sprintf("$(cat /sys/fs/cgroup%s/cgroup.procs)", of)
			}
			out, err := h.Sh(ctx, "p=\""+of+`"
				memory=0; files=0
				for pid in $p; do
					memory=$((memory + $(awk '/RssAnon/ {print $2}' /proc/$pid/status))); files=$((files + $(ls /proc/$pid/fd | wc -l)))
				done
				echo $memory $files`)
			if err != nil {
				return err
			}
			var now used
			if _, err := fmt.Sscan(out, &now.memory, &now.files); err != nil {
				return fmt.Errorf("cannot read what %s of %s has: %w", p.unit, h.Name(), err)
			}
			at.programs = append(at.programs, now)
		}
		out, err := h.Sh(ctx, "ls -d /proc/[0-9]* | wc -l")
		if err == nil {
			_, err = fmt.Sscan(out, &at.processes)
		}
		return err
	})
	return all, err
}

// grown judges what the hosts have at the end.
func (r *run) grown(ctx context.Context, before []usage) error {
	for began := time.Now(); ; {
		after, err := r.usage(ctx)
		if err != nil {
			return err
		}
		broken := r.compare(before, after)
		if len(broken) == 0 || time.Since(began) > vanished {
			r.broken = append(r.broken, broken...)
			return nil
		}
	}
}

// compare says what has grown between two looks; before is nil if there was no first one.
func (r *run) compare(before, after []usage) (broken []string) {
	for i, now := range after {
		name, was := r.hosts[i].Name(), now
		if before != nil {
			was = before[i]
		}
		for k, p := range programs {
			now, was := now.programs[k], was.programs[k]
			r.Log("%s: %s has %d KiB and %d files, it had %d KiB and %d files", name, p.unit, now.memory, now.files, was.memory, was.files)
			broken = append(broken, p.judge(name, was, now)...)
		}
		if now.processes > was.processes+growProcesses {
			broken = append(broken, fmt.Sprintf("%s has %d processes, it had %d", name, now.processes, was.processes))
		}
	}
	return broken
}

// judge says where a program has grown.
func (p program) judge(host string, was, now used) (broken []string) {
	if now.memory > p.mostMemory || now.memory > was.memory+p.growMemory {
		broken = append(broken, fmt.Sprintf("%s: %s has %d KiB of memory, it had %d", host, p.unit, now.memory, was.memory))
	}
	if now.files > p.mostFiles || now.files > was.files+p.growFiles {
		broken = append(broken, fmt.Sprintf("%s: %s has %d files open, it had %d", host, p.unit, now.files, was.files))
	}
	return broken
}
