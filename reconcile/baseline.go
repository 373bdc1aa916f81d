package reconcile

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

// baseline is what served before a change. What served must serve after it.
type baseline struct {
	workers []int               // of HAProxy; none where it is not running or does not tell
	listen  []netip.AddrPort    // where they listened
	up      map[string][]string // the servers that were up, of each backend that had one
	well    map[string]bool     // instances of keepalived that were not in FAULT
}

// takeBaseline looks at what runs. What cannot be asked is not in it, and not missed later.
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

// permanentError is one that further looks do not change.
type permanentError struct{ error }

// stoppedError names a unit that somebody else stopped while the run went on. It says nothing of what the run did.
type stoppedError struct{ error }

// unverifiedError is what keeps a look from telling whether all is well. It is no sign that something is wrong.
type unverifiedError struct{ error }

// longestFirstCheck bounds the wait for checks of servers: nobody waits an hour for the first one of an hourly check.
const longestFirstCheck = 30 * time.Second

// firstCheck is how long the first checks of all servers take that are to be waited for.
func firstCheck(d plan.Desired, before baseline) time.Duration {
	var longest time.Duration
	for _, b := range d.Backends {
		if len(before.up[b.Name]) > 0 {
			longest = max(longest, b.FirstCheck)
		}
	}
	return min(longest, longestFirstCheck)
}

// serversLeft sees that every service that had a server up has one now. HAProxy calls a server up until its first
// check says otherwise, so only checked ones count.
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

// rehearse lets a HAProxy beside the real one check the servers with the new configuration, so that a check which takes
// every control plane out is found before a client meets it. running is the configuration that HAProxy has, or nil where
// that is not known. What cannot be rehearsed is seen after the reload.
func rehearse(ctx context.Context, h host.Host, d plan.Desired, before baseline, running []byte, file render.File) error {
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
	if err == nil && permanent != nil {
		return permanent.error
	}
	return nil
}

// keepsAServer says whether each backend that had a server up has one that was up and is checked as before: then there is
// nothing to rehearse.
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
			if s.Backend != want.Name || s.Drained() && !slices.Contains(want.Servers, s.Name) { // a retired one serves nobody new
				continue
			}
			up = up || s.Checked && s.Up()
			waiting = waiting || !s.Checked
			reasons = append(reasons, strings.TrimSpace(s.Name+" "+s.Reason))
		}
		if up {
			continue
		}
		err := plan.FieldErrorf(want.Field, "no server of %s is up any more, and before the change there was one: %s", want.Name, strings.Join(reasons, "; "))
		if !waiting {
			return &permanentError{err}
		}
		return err
	}
	return nil
}

// instancesLeft sees that keepalived has its instances, that none is in FAULT that was not, and that the virtual IPs
// are on the interface if, and only if, the role says so.
func (b baseline) instancesLeft(ctx context.Context, o host.Observer, d plan.Desired, unit host.Unit) error {
	if unit.GraceLeft() > 0 {
		return fmt.Errorf("cannot ask keepalived yet: it started %v ago", time.Since(unit.ActiveSince).Round(time.Millisecond))
	}
	instances, err := o.VRRP(ctx, unit.MainPID)
	if errors.Is(err, host.ErrUnavailable) {
		return nil // a keepalived that cannot tell
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
			return fmt.Errorf("keepalived's instance %s is in FAULT, and was not before (journalctl -u %s tells why)", name, host.KeepalivedUnit)
		} else if role == host.RoleMaster {
			master = true
		}
	}
	for _, vip := range d.VirtualIPs {
		if has := held[vip]; has != master && len(d.Model.Instances) == 1 {
			return fmt.Errorf("cannot see virtual IP %s where it should be: this host is master: %t, and holds it: %t", vip, master, has)
		}
	}
	return nil
}

// standsDown says that this host is in FAULT because another one holds the virtual IPs: that is no fault of a change, and
// may be what it is to end.
func standsDown(ctx context.Context, o host.Observer) bool {
	guard, err := state.ReadGuard(ctx, o)
	return err == nil && guard.Fault && guard.Conflict != ""
}

// takenPorts finds another program where HAProxy is to listen and does not yet: HAProxy's own check does not look, and
// a reload would fail half-way.
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

// waysOut says what a person can do about a port that a program listens on.
func waysOut(program string) string {
	ways := "give the service another port, or bind it to the virtual IP and the program to its own address"
	if program == "kube-apiserver" {
		ways += " (--bind-address)"
	}
	return ways
}
