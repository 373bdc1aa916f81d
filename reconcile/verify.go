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
	verifyTimeout = 10 * time.Second       // a good change is visible within a second, even on a slow Pi
	loadTime      = 30 * time.Microsecond  // more for each byte of HAProxy's file, on a busy Pi: a master process that reads it does not answer
	verifyPause   = 50 * time.Millisecond  // between two looks
	settleTime    = 300 * time.Millisecond // a keepalived that fails on its configuration dies within this time
)

// serves waits until the host serves as the desired state says, as far as the host itself can see. The units run and stay
// up. HAProxy's present workers, not older ones, listen on every address for clients. HAProxy may first have to read files
// of size bytes. Everything that served before must still serve. replaced means that a reload must have started a new
// worker. An *unverifiedError means that only some things could not be seen; a *stoppedError means that the only problem is
// a unit that somebody stopped meanwhile.
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
		if err == nil || inTime.Err() == nil { // keep the problem, not the error that the time is up
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

// loadSize is how many bytes HAProxy may have to read: its new file and its old one.
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
				continue // it is in FAULT because HAProxy was stopped
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

// verified logs what could not be verified, and units that somebody else stopped. Neither is a reason to undo the run. The
// next plan starts the stopped units.
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

// listens asks HAProxy's master process for its workers. systemd reports a reload as done even if the new worker failed to
// bind and the old one still serves.
func listens(ctx context.Context, h host.Host, d plan.Desired, unit host.Unit, replaced []int) error {
	socket := unit.MasterSocket()
	if socket == "" {
		return nil // the administrator's EXTRAOPTS removed the socket
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

// stays looks again after settleTime: no unit may have died. A unit that somebody stopped or restarted meanwhile has not
// died.
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
