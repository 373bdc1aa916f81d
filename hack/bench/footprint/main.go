// Command footprint measures what the daemon costs an idle host, and whether it grows with edits, in comparison with
// the original's polling in the same time: "make footprint".
package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

func main() {
	binary := flag.String("agent", "bin/rlb-agent", "the agent's binary")
	idle := flag.Duration("idle", 30*time.Second, "how long to measure an idle agent")
	edits := flag.Int("edits", 1000, "how many edits to make, one in ten through the file, the others by SIGHUP")
	flag.Parse()
	lab.Main("footprint", func(ctx context.Context) error {
		return lab.OnStage(ctx, lab.Options{}, 1, func(stage *lab.Stage) error { return run(ctx, stage, *binary, *idle, *edits) })
	})
}

func run(ctx context.Context, stage *lab.Stage, binary string, idle time.Duration, edits int) error {
	h, err := pair.Single(ctx, stage, lab.Trixie, binary, pair.Spec(1, "reconcile: {interval: 1h}"))
	if err != nil {
		return err
	}
	time.Sleep(5 * time.Second) // until the first run and its consequences are over

	a, err := measure(ctx, h, "$(systemctl show --value -p MainPID rlb-agent)")
	if err != nil {
		return err
	}
	poll, err := polling(ctx, h, idle) // the agent is watched during this time too
	if err != nil {
		return err
	}
	b, err := measure(ctx, h, "$(systemctl show --value -p MainPID rlb-agent)")
	if err != nil {
		return err
	}
	quiet := b.minus(a)
	fmt.Printf("idle for %v, Debian 13, one core's time; forks seen by the children's page faults\n\n", quiet.took.Round(time.Second))
	fmt.Printf("%-34s %14s %14s\n", "", "rlb-agent", "polling")
	row := func(what, format string, agent, original any) {
		fmt.Printf("%-34s %14s %14s\n", what, fmt.Sprintf(format, agent), fmt.Sprintf(format, original))
	}
	row("resident memory, MiB", "%.1f", b.rss/1024, poll.rss/1024)
	row("  of it the program's own pages", "%.1f", b.anon/1024, poll.anon/1024)
	row("open files", "%d", b.files, poll.files)
	row("threads", "%d", b.threads, poll.threads)
	row("times woken, a second", "%.2f", quiet.voluntary/quiet.took.Seconds(), poll.perSecond(poll.voluntary))
	row("times interrupted, a second", "%.2f", quiet.involuntary/quiet.took.Seconds(), poll.perSecond(poll.involuntary))
	row("CPU time, s an hour", "%.2f", 3600*quiet.cpu.Seconds()/quiet.took.Seconds(), 3600*(poll.cpu+poll.childCPU).Seconds()/poll.took.Seconds())
	row("children's page faults, a second", "%.0f", quiet.childFaults/quiet.took.Seconds(), poll.perSecond(poll.childFaults))

	const looks = 20
	c, err := hangups(ctx, h, looks)
	if err != nil {
		return err
	}
	look := c.minus(b)
	each := (look.cpu + look.childCPU) / looks
	fmt.Printf("\na regular look: %v of CPU time with its programs; each 60 s that is %.1f s an hour\n", each.Round(100*time.Microsecond), 60*each.Seconds())

	began := time.Now()
	after, err := edit(ctx, h, edits)
	if err != nil {
		return err
	}
	fmt.Printf("\n%d edits in %v\n%-34s %14s %14s\n", edits, time.Since(began).Round(time.Second), "", "before", "after")
	row("resident memory, MiB", "%.1f", c.rss/1024, after.rss/1024)
	row("  of it the program's own pages", "%.1f", c.anon/1024, after.anon/1024)
	row("open files", "%d", c.files, after.files)
	row("threads", "%d", c.threads, after.threads)
	return nil
}

// hangups makes the agent reconcile this many times, one after the other.
func hangups(ctx context.Context, h *lab.Host, times int) (sample, error) {
	script := awaited + "for i in $(seq " + fmt.Sprint(times) + "); do awaited systemctl kill -s HUP rlb-agent; done"
	if _, err := h.Sh(ctx, script); err != nil {
		return sample{}, err
	}
	return measure(ctx, h, "$(systemctl show --value -p MainPID rlb-agent)")
}

// edit makes the agent reconcile this many times; one in ten times it edits the spec file. The edit changes a
// comment, so the host stays as it is.
func edit(ctx context.Context, h *lab.Host, times int) (sample, error) {
	script := awaited + `edit() { echo "# $1" > /etc/rlb/new; cat /root/spec >> /etc/rlb/new; mv /etc/rlb/new /etc/rlb/spec.yaml; }
cp /etc/rlb/spec.yaml /root/spec
for i in $(seq ` + fmt.Sprint(times) + `); do
  if [ $((i % 10)) = 0 ]; then awaited edit $i; else awaited systemctl kill -s HUP rlb-agent; fi
done`
	if _, err := h.Sh(ctx, script); err != nil {
		return sample{}, err
	}
	time.Sleep(2 * time.Second)
	return measure(ctx, h, "$(systemctl show --value -p MainPID rlb-agent)")
}

// awaited runs a command and waits until the agent has written its status because of it.
const awaited = `set -e
awaited() {
  was=$(stat -c %y /run/rlb/status.json)
  "$@"
  for wait in $(seq 1000); do
    [ "$(stat -c %y /run/rlb/status.json)" = "$was" ] || return 0
    [ $((wait % 100)) != 0 ] || "$@" # it came while a run was under way, and that has ended
    sleep 0.01
  done
  echo "the agent does nothing after: $*" >&2
  return 1
}
`

// polling polls for a while as keepalived does with the original's configuration: it queries systemd every second.
func polling(ctx context.Context, h *lab.Host, during time.Duration) (sample, error) {
	if _, err := h.Sh(ctx, `systemd-run --quiet --unit=polling sh -c 'while :; do systemctl is-active --quiet haproxy; sleep 1; done'`); err != nil {
		return sample{}, err
	}
	a, err := measure(ctx, h, "$(systemctl show --value -p MainPID polling)")
	if err != nil {
		return sample{}, err
	}
	select {
	case <-ctx.Done():
		return sample{}, ctx.Err()
	case <-time.After(during):
	}
	b, err := measure(ctx, h, "$(systemctl show --value -p MainPID polling)")
	if err != nil {
		return sample{}, err
	}
	_, err = h.Sh(ctx, "systemctl stop polling")
	return b.minus(a), err
}

func lines(text string) []string { return strings.Split(strings.TrimSpace(text), "\n") }
