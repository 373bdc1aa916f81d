// Command fuzz gives random specs of the whole language (hack/specgen) to the real programs of each Debian release of
// the lab: the rendered haproxy.cfg to "haproxy -c", keepalived.conf to "keepalived --config-test", the rules to
// "iptables-restore --test" and "ip6tables-restore --test", those of planned moves to "nft --check". If a program
// refuses a valid spec, that is a bug of the rules or of the rendering. With some of the specs HAProxy is started, with
// servers: it must listen where the spec says, and lead each connection to a server of its service. It needs root.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

func main() {
	n := flag.Uint64("n", 1000, "how many specs, over all releases")
	seed := flag.Uint64("seed", 1, "the first of the seeds: spec i has seed+i, and goes to the releases in turn")
	start := flag.Uint64("start", 0, "how many specs, over all releases, HAProxy is started with, from the same seed on")
	budget := flag.Duration("time", 0, "stop after that time, if it is not 0")
	only := flag.String("release", "", "the one release whose programs judge; default: all")
	flag.Parse()
	releases := lab.Releases()
	if *only != "" {
		r, err := lab.ParseRelease(*only)
		if err != nil {
			fmt.Fprintln(os.Stderr, "fuzz:", err)
			os.Exit(2)
		}
		releases = []lab.Release{r}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *budget > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *budget)
		defer cancel()
	}
	refused, err := fuzz(ctx, releases, *seed, *n, *start)
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(2)
	}
	if refused > 0 {
		os.Exit(1)
	}
}

// fuzz gives n specs to the releases in turn, and prints the refusals and the results of each.
func fuzz(ctx context.Context, releases []lab.Release, seed, n, start uint64) (refused uint64, err error) {
	var all sync.WaitGroup
	var total atomic.Uint64
	failures := make([]error, len(releases))
	for i, r := range releases {
		all.Go(func() {
			begin := time.Now()
			t, err := openTree(ctx, r)
			if err != nil {
				failures[i] = err
				return
			}
			defer t.stop()
			part := func(of uint64) uint64 { return (of + uint64(len(releases)-1-i)) / uint64(len(releases)) }
			judged, wrong, err := t.specs(ctx, seed+uint64(i), uint64(len(releases)), part(n))
			took := time.Since(begin)
			started, misled, failed := t.started(ctx, seed+uint64(i), uint64(len(releases)), part(start))
			wrong, failures[i] = append(wrong, misled...), errors.Join(err, failed)
			for _, w := range wrong {
				fmt.Printf("%s: %v\n", r, w)
			}
			total.Add(uint64(len(wrong)))
			fmt.Printf("%-12s haproxy %-20s keepalived %-20s %6d specs, %.1f ms each; started with %d, %d connections; %d wrong\n", r, t.haproxy, t.keepalived,
				judged, float64(took.Milliseconds())/float64(max(judged, 1)), started.specs, started.connections, len(wrong))
		})
	}
	all.Wait()
	return total.Load(), errors.Join(failures...)
}
