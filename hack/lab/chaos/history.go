package chaos

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"rlb.dev/rlb-agent/hack/history"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// watch records which host holds the virtual IP, as reported by the hosts' kernels, until ctx ends.
func watch(ctx context.Context, hosts []*lab.Host, h *history.History) (wait func()) {
	var all sync.WaitGroup
	for _, host := range hosts {
		all.Go(func() {
			host.WatchAddress(ctx, netip.MustParseAddr(pair.VIP), func(at time.Time, holds bool) {
				h.Add(history.Change{At: at, Host: host.Name(), Holds: holds})
			})
		})
	}
	return all.Wait
}
