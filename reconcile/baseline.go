package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

// baseline is what served before a change. All of it must serve after the change too.
type baseline struct {
	workers []int               // of HAProxy; none if HAProxy does not run or does not report them
	listen  []netip.AddrPort    // addresses on which the workers listened
	up      map[string][]string // servers that were up, by backend
	well    map[string]bool     // instances of keepalived that were not in FAULT
}

// takeBaseline reads what serves now. What cannot be read is not part of the baseline and is not required later.
func takeBaseline(ctx context.Context, o host.Observer) baseline {
	b := baseline{up: map[string][]string{}, well: map[string]bool{}}
	if unit, err := o.Unit(ctx, host.HAProxyUnit); err == nil && unit.Active() {
		if workers, err := o.Workers(ctx, unit.MasterSocket()); err == nil {
			b.workers = workers.Current
			b.listen, _ = o.Listeners(ctx, workers.Current...)
		}
		states, _ := o.Servers(ctx)
		for _, s := range states {
			if s.Checked && s.Up() && !s.Drained() {
				b.up[s.Backend] = append(b.up[s.Backend], s.Name)
			}
		}
	}
	if unit, err := o.Unit(ctx, host.KeepalivedUnit); err == nil && unit.Active() && unit.GraceLeft() == 0 { // a signal now would kill it
		instances, _ := o.VRRP(ctx, unit.MainPID)
		for _, i := range instances {
			b.well[i.Name] = i.Role == host.RoleMaster || i.Role == host.RoleBackup
		}
	}
	return b
}

// permanentError is an error that will not pass, so no further look is needed.
type permanentError struct{ error }

// stoppedError names a unit that somebody else stopped during the run. It says nothing about the result of the run.
type stoppedError struct{ error }

// unverifiedError is the reason why a look cannot show whether all is well. It does not mean that something is wrong.
type unverifiedError struct{ error }

// longestFirstCheck limits the wait for checks of servers: a run does not wait an hour for the first of hourly checks.
const longestFirstCheck = 30 * time.Second

// firstCheck is the time until the first checks of all backends that had a server up.
func firstCheck(d plan.Desired, before baseline) time.Duration {
	var longest time.Duration
	for _, b := range d.Backends {
		if len(before.up[b.Name]) > 0 {
			longest = max(longest, b.FirstCheck)
		}
	}
	return min(longest, longestFirstCheck)
}

// serversLeft checks that every service that had a server up still has one. HAProxy reports a server as up until its first
// check fails, so only checked servers count.
func (b baseline) serversLeft(ctx context.Context, o host.Observer, d plan.Desired) error {
	if len(b.up) == 0 {
		return nil
	}
	states, err := o.Servers(ctx)
	if err != nil {
		return err
	}
	return b.serversIn(states, d)
}

// rehearse starts a second HAProxy that checks the servers with the new configuration. So a check that takes every server
// out is found before clients notice it. running is the configuration that HAProxy has loaded, or nil if it is not known.
// What cannot be rehearsed is logged, and verified after the reload.
func rehearse(ctx context.Context, h host.Host, log *slog.Logger, d plan.Desired, before baseline, running []byte, file render.File) error {
	if before.keepsAServer(d, render.ParseChecks(running), render.ParseChecks(file.Data)) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second+firstCheck(d, before))
	defer cancel()
	var permanent *permanentError
	err := h.Rehearse(ctx, file, func(states []host.ServerState) bool {
		verdict := before.serversIn(states, d)
		return verdict == nil || errors.As(verdict, &permanent)
	})
	switch {
	case err != nil && ctx.Err() == nil:
		log.Warn(err.Error() + "; they are verified after the reload")
	case err == nil && permanent != nil:
		return permanent.error
	}
	return nil
}

// keepsAServer reports whether each backend that had a server up has such a server whose check is unchanged: then no
// rehearsal is needed.
func (b baseline) keepsAServer(d plan.Desired, running, wanted render.Checks) bool {
	for _, want := range d.Backends {
		up := b.up[want.Name]
		if len(up) > 0 && !slices.ContainsFunc(up, func(server string) bool { return running.Same(wanted, want.Name, server) }) {
			return false
		}
	}
	return true
}

func (b baseline) serversIn(states []host.ServerState, d plan.Desired) error {
	for _, want := range d.Backends {
		if len(b.up[want.Name]) == 0 {
			continue
		}
		up, waiting := false, false
		var reasons []string
		for _, s := range states {
			if s.Backend != want.Name || s.Drained() && !slices.Contains(want.Servers, s.Name) { // a retired server gets no new connections
				continue
			}
			up = up || s.Checked && s.Up()
			waiting = waiting || !s.Checked
			reasons = append(reasons, strings.TrimSpace(s.Name+" "+s.Reason))
		}
		if up {
			continue
		}
		err := plan.FieldErrorf(want.Field, "no server of %s is up, but before the change one was: %s", want.Name, strings.Join(reasons, "; "))
		if !waiting {
			return &permanentError{err}
		}
		return err
	}
	return nil
}

// instancesLeft checks that keepalived has its instances, that none of them is newly in FAULT, and that the virtual IPs are
// on the interface if and only if the role says so.
func (b baseline) instancesLeft(ctx context.Context, o host.Observer, d plan.Desired, unit host.Unit) error {
	if unit.GraceLeft() > 0 {
		return fmt.Errorf("cannot ask keepalived yet: it started %v ago", time.Since(unit.ActiveSince).Round(time.Millisecond))
	}
	instances, err := o.VRRP(ctx, unit.MainPID)
	if errors.Is(err, host.ErrUnavailable) {
		return nil // this keepalived cannot report its state
	}
	if err != nil {
		return &unverifiedError{err}
	}
	held, err := host.OwnAddresses(ctx, o)
	if err != nil {
		return err
	}
	master := false
	for _, name := range d.Model.Instances {
		at := slices.IndexFunc(instances, func(i host.Instance) bool { return i.Name == name })
		if at < 0 {
			return fmt.Errorf("cannot see keepalived's instance %s", name)
		}
		if role := instances[at].Role; role == host.RoleFault && b.well[name] && !standsDown(ctx, o) {
			return fmt.Errorf("keepalived's instance %s is in FAULT, but was not before the change (journalctl -u %s shows why)", name, host.KeepalivedUnit)
		} else if role == host.RoleMaster {
			master = true
		}
	}
	for _, vip := range d.VirtualIPs {
		if has := held[vip]; has != master && len(d.Model.Instances) == 1 {
			return fmt.Errorf("cannot verify virtual IP %s: this host is MASTER: %t, the interface has the address: %t", vip, master, has)
		}
	}
	return nil
}

// standsDown reports whether this host is in FAULT because another host holds the virtual IPs. The change did not cause
// this FAULT; the change may even be meant to end it.
func standsDown(ctx context.Context, o host.Observer) bool {
	guard, err := state.ReadGuard(ctx, o)
	return err == nil && guard.Fault && guard.Conflict != ""
}

// takenPorts finds another program on an address on which HAProxy is to listen. HAProxy's own check does not look for one,
// and a reload would fail half-way.
func takenPorts(ctx context.Context, o host.Observer, d plan.Desired) error {
	sockets, err := o.Sockets(ctx)
	if err != nil {
		return err
	}
	for _, want := range d.Listen {
		for _, s := range sockets {
			if s.Program == "haproxy" || !s.Overlaps(want.Addr) {
				continue
			}
			holder := "another program"
			if s.PID != 0 {
				holder = fmt.Sprintf("%s (process %d)", s.Program, s.PID)
			}
			return plan.FieldErrorf(want.Field, "%v is taken by %s, which listens on %v; %s", want.Addr, holder, s.Addr, waysOut(s.Program))
		}
	}
	return nil
}

// waysOut says what a user can do about a port on which another program listens.
func waysOut(program string) string {
	ways := "give the service another port, or bind it to the virtual IP and the program to its own address"
	if program == "kube-apiserver" {
		ways += " (--bind-address)"
	}
	return ways
}
