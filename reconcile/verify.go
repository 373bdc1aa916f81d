package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/plan"
)

const (
	verifyTimeout = 10 * time.Second       // a good change shows within a second, on a slow Pi too
	loadTime      = 30 * time.Microsecond  // more for each byte of HAProxy's file, on a busy Pi: a master that reads it answers nobody
	verifyPause   = 50 * time.Millisecond  // between two looks
	settleTime    = 300 * time.Millisecond // a keepalived that cannot live with its configuration dies within that
)

// serves waits until the host does what the desired state says, as far as it can be seen from the host: the units
// run and stay, and HAProxy's present workers, not some older ones, listen wherever clients connect. HAProxy may read files
// of size bytes before that.
// Nothing that served before must be gone; replaced says that a reload must have brought a new worker. An *unverifiedError
// says that all is well but for what could not be seen, a *stoppedError but for a unit that somebody stopped meanwhile.
func serves(ctx context.Context, h host.Host, d plan.Desired, before baseline, replaced bool, size int) error {
	var now plan.Observed
	if err := now.LookForFormer(ctx, h); err != nil {
		return err
	}
	d.ApplyRuntimeState(now)
	inTime, cancel := context.WithTimeout(ctx, verifyTimeout+firstCheck(d, before)+time.Duration(size)*loadTime)
	defer cancel()
	var old []int
	if replaced {
		old = before.workers
	}
	var err error
	for {
		now := servesNow(inTime, h, d, before, old)
		if stopped := (*stoppedError)(nil); now == nil || errors.As(now, &stopped) {
			return cmp.Or(stays(ctx, h, d), now)
		}
		if permanent := (*permanentError)(nil); errors.As(now, &permanent) {
			return permanent.error
		}
		if err == nil || inTime.Err() == nil { // what was wrong, not that time is up
			err = now
		}
		select {
		case <-inTime.Done():
			unverified := (*unverifiedError)(nil)
			if !errors.As(err, &unverified) {
				return err
			}
			if err := stays(ctx, h, d); err != nil {
				return err
			}
			return unverified
		case <-time.After(verifyPause):
		}
	}
}

// loadSize is how many bytes HAProxy may have to read: its file of this run, and that of before.
func (r *run) loadSize() int {
	path := r.desired.Facts.HAProxyConfig
	size := len(r.before[path].Data)
	if f := r.desired.File(path); f != nil {
		size += len(f.Data)
	}
	return size
}

func servesNow(ctx context.Context, h host.Host, d plan.Desired, before baseline, replaced []int) error {
	var running []host.Unit
	var stopped, unverified error
	for _, want := range d.Units {
		if !want.Run {
			continue
		}
		switch unit, err := h.Unit(ctx, want.Name); {
		case err != nil:
			return err
		case unit.Stopped():
			stopped = &stoppedError{fmt.Errorf("%s was stopped by somebody else meanwhile", want.Name)}
		case !unit.Active() || unit.MainPID == 0 && !want.Loads():
			return fmt.Errorf("cannot see %s running: it is %s (%s)", want.Name, unit.ActiveState, unit.SubState)
		default:
			running = append(running, unit)
		}
	}
	for _, unit := range running {
		var err error
		switch unit.Name {
		case host.HAProxyUnit:
			err = listens(ctx, h, d, unit, replaced)
			if err == nil {
				err = before.serversLeft(ctx, h, d)
			}
		case host.KeepalivedUnit:
			if stopped != nil {
				continue // it is in FAULT where HAProxy was stopped
			}
			err = before.instancesLeft(ctx, h, d, unit)
		}
		if unseen := (*unverifiedError)(nil); errors.As(err, &unseen) {
			unverified = err
		} else if err != nil {
			return err
		}
	}
	return cmp.Or(stopped, unverified)
}

// verified logs what could not be verified, and what somebody else did: that is no reason to undo anything. The next plan
// starts what was stopped.
func (r *run) verified(err error) error {
	stopped, unverified := (*stoppedError)(nil), (*unverifiedError)(nil)
	switch {
	case errors.As(err, &stopped):
		r.Log.Warn(err.Error())
		return nil
	case errors.As(err, &unverified):
		r.Log.Warn("role not verified: " + err.Error())
		return nil
	}
	return err
}

// listens asks HAProxy's master for its workers: systemd calls a reload done while the new worker may have failed to
// bind and the old one goes on.
func listens(ctx context.Context, h host.Host, d plan.Desired, unit host.Unit, replaced []int) error {
	socket := unit.MasterSocket()
	if socket == "" {
		return nil // the administrator's EXTRAOPTS took the socket away
	}
	workers, err := h.Workers(ctx, socket)
	if err != nil {
		return err
	}
	if workers.Failed > 0 {
		return fmt.Errorf("cannot reload haproxy: its new worker failed, the old one goes on (journalctl -u %s tells why)", host.HAProxyUnit)
	}
	fresh := slices.DeleteFunc(slices.Clone(workers.Current), func(pid int) bool { return slices.Contains(replaced, pid) })
	if len(fresh) == 0 {
		return errors.New("cannot see a new worker of haproxy")
	}
	have, err := h.Listeners(ctx, fresh...)
	if err != nil {
		return err
	}
	var missing []string
	for _, want := range d.Listen {
		if !slices.Contains(have, want.Addr) {
			missing = append(missing, want.Addr.String())
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("cannot see haproxy listening on %s", strings.Join(missing, ", "))
	}
	return nil
}

// stays looks again after a moment: no unit may have died. One that somebody stopped or restarted meanwhile did not.
func stays(ctx context.Context, h host.Host, d plan.Desired) error {
	before := map[string]host.Unit{}
	for round := range 2 {
		for _, want := range d.Units {
			if !want.Run {
				continue
			}
			unit, err := h.Unit(ctx, want.Name)
			if err != nil {
				return err
			}
			if was := before[want.Name]; round == 0 {
				before[want.Name] = unit
			} else if unit.DiedSince(was) {
				return fmt.Errorf("cannot keep %s running: it is %s (%s) a moment after its start or reload", want.Name, unit.ActiveState, unit.SubState)
			}
		}
		if round == 0 {
			time.Sleep(settleTime)
		}
	}
	return nil
}
