package chaos

import (
	"context"
	"fmt"
	"slices"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// usage has for each host: the agent's own memory in KiB, the agent's open files, and the number of processes on the
// host.
type usage [][3]int

func (r *run) usage(ctx context.Context) (usage, error) {
	r.close() // an old process of HAProxy lives as long as its connections
	time.Sleep(time.Second)
	all := make(usage, len(r.hosts))
	err := pair.Each(r.hosts, func(h *lab.Host) error {
		out, err := h.Sh(ctx, `p=$(systemctl show -p MainPID --value rlb-agent)
			awk '/RssAnon/ {print $2}' /proc/$p/status; ls /proc/$p/fd | wc -l; ls -d /proc/[0-9]* | wc -l`)
		at := &all[slices.Index(r.hosts, h)]
		if err == nil {
			_, err = fmt.Sscan(out, &at[0], &at[1], &at[2])
		}
		return err
	})
	return all, err
}

// grown checks how much the agents have grown.
func (r *run) grown(ctx context.Context, before usage) error {
	after, err := r.usage(ctx)
	if err != nil {
		return err
	}
	for i, now := range after {
		name := r.hosts[i].Name()
		r.Log("%s: the agent has %d KiB and %d files; the host has %d processes", name, now[0], now[1], now[2])
		was := now
		if before != nil {
			was = before[i]
		}
		if now[0] > mostMemory || now[0] > was[0]+growMemory {
			r.broken = append(r.broken, fmt.Sprintf("%s: the agent has %d KiB of memory, it had %d", name, now[0], was[0]))
		}
		if now[1] > mostFiles || now[1] > was[1]+growFiles {
			r.broken = append(r.broken, fmt.Sprintf("%s: the agent has %d files open, it had %d", name, now[1], was[1]))
		}
		if now[2] > was[2]+growProcesses {
			r.broken = append(r.broken, fmt.Sprintf("%s has %d processes, it had %d", name, now[2], was[2]))
		}
	}
	return nil
}
