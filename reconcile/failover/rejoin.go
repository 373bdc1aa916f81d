package failover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render/vrrp"
)

// RejoinHost is the part of the machine that Rejoin uses.
type RejoinHost interface {
	host.Host
	Host
	// HearRouter calls heard for each advertisement that another machine sends on an interface, under one of these identities
	// and from one of these sources, until ctx ends. Without sources, every source counts. It makes one call at a time.
	// goodbye says that the advertisement has priority 0.
	HearRouter(ctx context.Context, iface string, ids []vrrp.Identity, from []netip.Prefix, heard func(goodbye bool)) error
}

// Rejoin starts keepalived once no peer uses the former virtual router, the one that this host has left. It runs in its own
// unit (host.RejoinUnit) while this host is kept out of the new virtual router. It needs no lock.
func Rejoin(ctx context.Context, h RejoinHost, log *slog.Logger) error {
	former, err := state.ReadFormer(ctx, h)
	if err != nil || former == nil {
		return err
	}
	in, err := state.ReadInForce(ctx, h)
	if err != nil {
		return err
	}
	log.Info(fmt.Sprintf("keepalived starts when no peer uses the former virtual router any more (%v)", former))
	silent, err := silence{
		hear: func(ctx context.Context, heard func(goodbye bool)) error {
			return h.HearRouter(ctx, former.Interface, former.Identities, former.From, heard)
		},
		held:  func(ctx context.Context) (bool, error) { return holdsNow(ctx, h, former.From) },
		quiet: former.Silence(), afterGoodbye: former.AfterGoodbye(in),
	}.await(ctx)
	if err != nil {
		return err
	}
	if silent {
		log.Info("no peer uses the former virtual router any more: starting keepalived")
	} else {
		log.Warn("a machine still advertises the former virtual router but is not its master: starting keepalived")
	}
	if err := h.StartUnit(ctx, host.KeepalivedUnit); err != nil {
		return err
	}
	return former.Forget(ctx, h)
}

// holdsNow says whether another machine that is not in the new virtual router holds the virtual IPs. It reads the spec in
// force each time, because the spec may change during the wait.
func holdsNow(ctx context.Context, h RejoinHost, from []netip.Prefix) (bool, error) {
	in, err := state.ReadInForce(ctx, h)
	if err != nil || in == nil {
		return err == nil, err
	}
	return heldApart(ctx, h, *in, from)
}

// silence describes the silence that a host waits for before it joins another virtual router.
type silence struct {
	hear         func(ctx context.Context, heard func(goodbye bool)) error // reports advertisements of the former router until ctx ends
	held         func(context.Context) (bool, error)                       // says whether a live machine holds the virtual IPs as the former router
	quiet        time.Duration                                             // how long no advertisement may come
	afterGoodbye time.Duration                                             // the same after a goodbye: a backup would advertise within this time; 0: no backup exists
}

const (
	heldPause = time.Second // the shortest pause between two searches for a holder
	noHolders = 3           // after so many consecutive searches without a holder, a sender of advertisements is no master
)

// await waits until no other machine advertises the former virtual router any more, or until no machine holds the virtual
// IPs. The second condition exists because any host on the link can send advertisements without end. silent is false if
// advertisements were still sent at the end.
func (s silence) await(ctx context.Context) (silent bool, err error) {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	timer := time.AfterFunc(s.quiet, cancel)
	defer timer.Stop()
	var looking sync.WaitGroup
	var unheld error
	looking.Go(func() {
		defer cancel()
		unheld = s.awaitNoHolder(within)
	})
	err = s.hear(within, func(goodbye bool) {
		if goodbye {
			timer.Reset(s.afterGoodbye)
			return
		}
		timer.Reset(s.quiet)
	})
	cancel()
	looking.Wait()
	return unheld != nil, errors.Join(err, ctx.Err())
}

// awaitNoHolder waits until noHolders consecutive searches have found no holder of the virtual IPs, and then returns nil.
// The time from the first to the last search is long enough for a backup to become master.
func (s silence) awaitNoHolder(ctx context.Context) error {
	pause := max(heldPause, s.quiet/2)
	for none := 0; ; {
		if none++; ctx.Err() != nil {
			return ctx.Err()
		}
		switch held, err := s.held(ctx); {
		case err != nil || held:
			none = 0
		case none == noHolders:
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}
