package pair

import (
	"context"
	"errors"
	"strings"
	"sync"

	"rlb.dev/rlb-agent/hack/lab"
)

// drained is a file that exists on a drained host.
const drained = "/var/lib/rlb/drain"

// Each calls do for all hosts concurrently.
func Each(hosts []*lab.Host, do func(*lab.Host) error) error {
	errs := make([]error, len(hosts))
	var all sync.WaitGroup
	for i, h := range hosts {
		all.Go(func() { errs[i] = do(h) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// Restore undoes whatever the faults of tests and benchmarks did to hosts: it ends partitions, boots the hosts,
// continues stopped processes, deletes drop-ins and packet filter rules that a boot would remove, undrains, and starts
// the units.
func Restore(ctx context.Context, l *lab.Lab, hosts []*lab.Host, units ...string) error {
	_ = l.Heal() // fails if there is no partition
	return Each(hosts, func(h *lab.Host) error {
		if !h.Up() {
			if err := h.Start(ctx); err != nil {
				return err
			}
		}
		if err := h.RestoreLink(); err != nil {
			return err
		}
		// The agent may start the units too, so one attempt may fail.
		start := "systemctl start " + strings.Join(units, " ")
		_, err := h.Sh(ctx, `for unit in haproxy keepalived rlb-agent; do systemctl kill -s CONT $unit 2>/dev/null; done
			rm -rf /run/systemd/system/haproxy.service.d /run/systemd/system/keepalived.service.d /run/systemd/system/rlb-agent.service.d
			systemctl daemon-reload; systemctl reset-failed
			while iptables -t mangle -D INPUT -p 112 -j DROP 2>/dev/null; do :; done
			test ! -e `+drained+` || `+Agent+` undrain
			`+start+` || { sleep 1; `+start+`; }`)
		return err
	})
}
