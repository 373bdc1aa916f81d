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

// RejoinHost is what Rejoin needs of the machine.
type RejoinHost interface {
	host.Host
	Host
	// HearRouter calls heard for each advertisement of another machine under one of these identities on an interface, from
	// one of these sources, one at a time, until ctx ends; without sources, from anywhere.
	HearRouter(ctx context.Context, iface string, ids []vrrp.Identity, from []netip.Prefix, heard func(goodbye bool)) error
}

// Rejoin starts keepalived when no peer is the virtual router any more that this host has left. It runs in a unit of its
// own (host.RejoinUnit) while this host is kept out of the new one, waits for nobody else, and needs no lock.
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

// holdsNow says whether another machine holds the virtual IPs of the spec in force, which may change meanwhile, apart from
// the virtual router that this host is to join.
func holdsNow(ctx context.Context, h RejoinHost, from []netip.Prefix) (bool, error) {
	in, err := state.ReadInForce(ctx, h)
	if err != nil || in == nil {
		return err == nil, err
	}
	return heldApart(ctx, h, *in, from)
}

// silence is what a host waits for before it joins another virtual router.
type silence struct {
	hear         func(ctx context.Context, heard func(goodbye bool)) error // advertisements of the former one, until ctx ends
	held         func(context.Context) (bool, error)                       // whether a machine that is alive holds the virtual IPs as that
	quiet        time.Duration                                             // without an advertisement
	afterGoodbye time.Duration                                             // … after a goodbye, in which a backup would advertise itself; 0: there is none
}

const (
	heldPause = time.Second // between two looks for a holder, at least
	noHolders = 3           // looks in a row that find none: whoever still advertises is no master
)

// await waits until no other machine advertises the former virtual router any more, or none holds the virtual IPs: anyone
// on the link can send advertisements, and without end. Its result is false where they went on.
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

// awaitNoHolder is nil when nobody held the virtual IPs in several looks. Between the first and the last of them a backup
// has the time to become master.
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
