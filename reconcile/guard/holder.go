package guard

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

const (
	settleTime  = 100 * time.Millisecond // in which keepalived has added all virtual IPs, or taken them away
	secondLook  = 150 * time.Millisecond // between two looks that both must find an address left behind
	restartTime = 250 * time.Millisecond // after a takeover: in which systemd has started keepalived again
	firstRetry  = 500 * time.Millisecond // of what cannot be done or known now; doubles …
	lastRetry   = 30 * time.Second       // … up to this, and then waits for the next event
)

// Holder sees that one host alone holds the virtual IPs. It takes off what is left on this host without a keepalived
// that is master, and finds other holders that keepalived does not hear of. Fields are set before Run.
type Holder struct {
	// Addresses are those of an interface.
	Addresses func(ctx context.Context, iface string) ([]netip.Prefix, error)
	// Remove takes an address off an interface.
	Remove func(ctx context.Context, iface string, prefix netip.Prefix) error
	// Role is keepalived's own word.
	Role func(context.Context) (host.Role, error)
	// Kill ends a keepalived that hangs, of a spec that tracks files. It is then started again as any that died.
	Kill func(context.Context) error
	// MAC is that of an interface, in the form in which Neighbours tells them.
	MAC func(iface string) (string, error)
	// Neighbours are the MACs of others that answer for these addresses within some 300 ms.
	Neighbours func(ctx context.Context, iface string, addrs []netip.Addr) (map[netip.Addr]string, error)
	// Passes says whether another's VRRP advertisements get through to keepalived, those of every instance. It takes some
	// three intervals at most.
	Passes func(context.Context, state.InForce) (bool, error)
	// Watch calls claimed when another machine says that it holds one of the addresses, until ctx ends. It is a reminder
	// where it was said to this host alone.
	Watch func(ctx context.Context, iface string, addrs []netip.Addr, claimed func(reminder bool)) error
	// Announce tells the network that an address is here.
	Announce func(iface string, addr netip.Addr) error
	// Remind tells the machine with a MAC alone that an address was here until now.
	Remind func(iface string, addr netip.Addr, mac string) error
	// Tell brings what is new about other holders to the Guard.
	Tell func(context.Context, Conflict)
	Log  *slog.Logger

	force state.InForce
	unit  string         // ActiveState of keepalived's unit; "" is not known yet
	down  time.Time      // since when keepalived is not running; zero where it is
	held  []netip.Prefix // virtual IPs on the interface

	due    time.Time     // of the next look whether they belong here; zero is none
	stray  bool          // the last look found that they do not
	retry  time.Duration // until the next try
	unable string        // what was last said of a failure

	rivals
}

// Run watches until ctx ends. force brings the spec in force, now and then also the same again, whereupon everything is
// looked at anew; units each new ActiveState of keepalived's unit; moved that addresses may have changed.
func (h *Holder) Run(ctx context.Context, force <-chan state.InForce, units <-chan string, moved <-chan struct{}) {
	h.claims, h.reminders, h.answers, h.passes = make(chan struct{}, 1), make(chan struct{}, 1), make(chan answer, 1), make(chan passage, 1)
	defer h.reminding.Wait()
	defer h.unwatch()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-force:
			if f.Interface != h.force.Interface || !slices.Equal(f.VirtualIPs, h.force.VirtualIPs) {
				h.unwatch()
			}
			h.force = f
			h.begin()
		case unit := <-units:
			h.unitIs(unit)
		case <-moved:
		case <-h.claims:
			h.claimed()
		case <-h.reminders:
			h.reminded()
		case a := <-h.answers:
			h.answered(ctx, a)
		case p := <-h.passes:
			h.listened(ctx, p)
		case <-timer.C:
		}
		if len(h.force.VirtualIPs) > 0 {
			h.look(ctx)
			h.belong(ctx)
			h.contend(ctx)
			h.stayOut(ctx)
		}
		timer.Reset(h.pause())
	}
}

// pause is the time to the next thing that is due.
func (h *Holder) pause() time.Duration {
	next := time.Now().Add(time.Hour)
	for _, at := range []time.Time{h.due, h.ask, h.poll} {
		if !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	return time.Until(next)
}

func reached(at time.Time) bool { return !at.IsZero() && !time.Now().Before(at) }

// begin has the virtual IPs looked at when what happens now is over.
func (h *Holder) begin() {
	h.due, h.stray, h.retry = time.Now().Add(settleTime), false, firstRetry
	if !h.down.IsZero() {
		// systemd starts it again once a peer has taken over, and it then begins by taking them off
		h.due = h.down.Add(h.force.Takeover + restartTime)
	}
	if !h.out {
		h.askBy(time.Now().Add(h.force.Takeover + settleTime))
	}
}

func (h *Holder) unitIs(state string) {
	h.unit = state
	switch running := up(state) || state == "deactivating"; { // one that stops takes its addresses away
	case running:
		h.down = time.Time{}
	case h.down.IsZero():
		h.down = time.Now()
	}
	if h.begin(); !h.down.IsZero() && h.heard { // that came first
		h.claimed()
	}
}

// look sees which virtual IPs are on the interface.
func (h *Holder) look(ctx context.Context) {
	all, err := h.Addresses(ctx, h.force.Interface)
	if err != nil {
		h.cannot(err)
		return
	}
	held := slices.DeleteFunc(slices.Clone(all), func(p netip.Prefix) bool { return !slices.Contains(h.force.VirtualIPs, p.Addr()) })
	changed := !slices.Equal(held, h.held)
	if len(held) == 0 && changed && up(h.unit) {
		h.remind(ctx)
	}
	switch h.held = held; {
	case len(held) == 0:
		h.due, h.stray = time.Time{}, false
		h.lost(ctx)
	case changed:
		h.begin()
		h.watch(ctx)
	default:
		h.watch(ctx)
	}
}

// belong takes the virtual IPs off where they do not belong.
func (h *Holder) belong(ctx context.Context) {
	switch {
	case !reached(h.due):
		return
	case h.unit == "": // it will be told
		h.due = time.Time{}
		return
	case !h.down.IsZero():
		h.takeOff(ctx, "keepalived is not running here, and left them behind")
		return
	}
	role, err := h.Role(ctx)
	h.cannot(err)
	switch role {
	case host.RoleMaster:
		h.due, h.stray = time.Time{}, false
	case host.RoleBackup, host.RoleFault:
		if !h.stray {
			h.due, h.stray = time.Now().Add(secondLook), true
			return
		}
		h.takeOff(ctx, fmt.Sprintf("keepalived is %s here and did not put them there", role))
	default:
		h.stray = false
		h.again()
	}
}

// again looks once more a while later, in vain not for ever.
func (h *Holder) again() {
	if h.due = time.Now().Add(h.retry); h.retry > lastRetry {
		h.due = time.Time{}
	}
	h.retry *= 2
}

func (h *Holder) takeOff(ctx context.Context, why string) {
	var gone []string
	for _, p := range h.held {
		if err := h.Remove(ctx, h.force.Interface, p); err != nil {
			h.cannot(err)
			continue
		}
		gone = append(gone, p.Addr().String())
	}
	if len(gone) > 0 {
		h.Log.Warn(fmt.Sprintf("took %s off %s: %s", strings.Join(gone, ", "), h.force.Interface, why))
	}
	h.stray = false
	h.again()
	h.look(ctx)
}

// cannot says what cannot be done or known, once.
func (h *Holder) cannot(err error) {
	if err != nil && err.Error() != h.unable {
		h.unable = err.Error()
		h.Log.Warn("the watch over the virtual IPs is hindered: " + h.unable)
	}
}
