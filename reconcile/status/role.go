package status

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// role is keepalived's own word; of two instances that stay together the worse one counts.
func (r *reading) role(ctx context.Context, s *Status) {
	unit, ok := r.unit(ctx, host.KeepalivedUnit)
	if !ok {
		return
	}
	if !unit.Active() {
		r.stopped(ctx, s, unit)
		return
	}
	if left := unit.GraceLeft(); left > 0 { // a signal now would kill it
		select {
		case <-ctx.Done():
		case <-time.After(left):
		}
	}
	if r.instances == nil {
		r.instances = func() ([]host.Instance, error) { return r.o.VRRP(ctx, unit.MainPID) }
	}
	instances, err := r.instances()
	r.note("keepalived's role", err)
	s.Role, s.RoleSince, s.RoleSeen = host.RoleUnknown, time.Time{}, time.Time{}
	if len(instances) > 0 {
		s.RoleSeen = r.now
	}
	order := map[host.Role]int{host.RoleMaster: 1, host.RoleBackup: 2, host.RoleFault: 3}
	for _, i := range instances {
		if s.Role == host.RoleUnknown || order[i.Role] > order[s.Role] {
			s.Role, s.RoleSince = i.Role, i.Since
		}
	}
	r.reason(ctx, s)
}

// askKeepalived has keepalived tell its role while other things are looked at: it takes some milliseconds. One that does not
// run, or must not be asked yet, is not asked. done waits for the answer.
func (r *reading) askKeepalived(ctx context.Context, unit host.Unit) (done func()) {
	if !unit.Active() || unit.GraceLeft() > 0 {
		return func() {}
	}
	r.instances = sync.OnceValues(func() ([]host.Instance, error) { return r.o.VRRP(ctx, unit.MainPID) })
	var asked sync.WaitGroup
	asked.Go(func() { _, _ = r.instances() }) // role tells the error
	return asked.Wait
}

// roleFresh is how old an answer of keepalived may be that a status shows. An older one needs its log for a witness.
const roleFresh = 5 * time.Second

// recentRole is the role that keepalived told a moment ago, where a daemon would have noted a change of it since, and nothing on
// this host says otherwise. FAULT ends without a trace, so that keepalived is asked.
func (r *reading) recentRole(ctx context.Context, s *Status) bool {
	age := r.now.Sub(r.told.RoleSeen)
	if age < 0 || age > roleFresh && r.quiet == nil || !r.daemonRuns(s) || s.Drained || r.guard.Fault {
		return false
	}
	for _, name := range []string{host.KeepalivedUnit, host.HAProxyUnit} {
		if unit, ok := r.unit(ctx, name); !ok || !unit.Active() {
			return false
		}
	}
	noted, err := state.ReadRole(ctx, r.o)
	own, ownErr := host.OwnAddresses(ctx, r.o)
	if err != nil || ownErr != nil || noted.Role != r.told.Role || r.told.Role != host.RoleMaster && r.told.Role != host.RoleBackup {
		return false
	}
	for _, v := range r.spec.VirtualIPs {
		if own[v.Addr()] != (r.told.Role == host.RoleMaster) {
			return false
		}
	}
	if age > roleFresh && !r.quiet(r.told.RoleSeen) {
		return false
	}
	s.Role, s.RoleSince, s.RoleSeen = r.told.Role, r.told.RoleSince, r.told.RoleSeen
	r.reason(ctx, s)
	return true
}

// cachedRole is the role where keepalived is not to be asked: as the daemon saw it last.
func (r *reading) cachedRole(ctx context.Context, s *Status) {
	unit, ok := r.unit(ctx, host.KeepalivedUnit)
	switch {
	case !ok:
		return
	case !unit.Active():
		r.stopped(ctx, s, unit)
		return
	}
	if s.Role == host.RoleStopped { // it was started since
		s.Role, s.RoleSince, s.RoleReason = host.RoleUnknown, time.Time{}, ""
	}
	if seen, err := state.ReadRole(ctx, r.o); err == nil && seen.Role != "" {
		s.Role, s.RoleSince = seen.Role, seen.Since
	}
	r.reason(ctx, s)
}

// stopped is the role where keepalived does not run. The unit that waits for the peers says that it is kept out.
func (r *reading) stopped(ctx context.Context, s *Status, unit host.Unit) {
	s.Role, s.RoleSince, s.RoleSeen = host.RoleStopped, time.Time{}, time.Time{}
	s.RoleReason = fmt.Sprintf("keepalived is not running: it is %s (%s)", unit.ActiveState, unit.SubState)
	if s.Drained {
		s.RoleReason = drainedReason
	} else if rejoin, err := r.o.Unit(ctx, host.RejoinUnit); err == nil && rejoin.Active() {
		r.keptOut, s.RoleReason = true, "keepalived is kept out until every peer has the new virtual router too"
	}
}

// noteRole remembers a change of the role that this status shows, with what can be told of its reason.
func (s *Status) noteRole(ctx context.Context, h host.Host) error {
	before, err := state.ReadRole(ctx, h)
	if err != nil {
		return err
	}
	if s.Role == host.RoleUnknown || s.Role == before.Role && !(s.RoleSince.Sub(before.Since) >= staleRole) {
		return nil
	}
	record := state.RoleRecord{Role: s.Role, Since: s.RoleSince, Transitions: before.Transitions, Reason: s.RoleReason}
	if before.Role != "" {
		record.Transitions++
		record.Reason = cmp.Or(record.Reason, changeReasons[[2]host.Role{before.Role, s.Role}], changeReasons[[2]host.Role{"", s.Role}])
	}
	if record.Since.IsZero() {
		record.Since = time.Now().Truncate(time.Second)
	}
	s.RoleSince, s.RoleReason = record.Since, record.Reason
	return record.Write(ctx, h)
}

// changeReasons say what a change from one role to another means. Those from "" are true of all others.
var changeReasons = map[[2]host.Role]string{
	{host.RoleBackup, host.RoleMaster}:  "took over: the other host stopped advertising, or has a lower priority",
	{"", host.RoleMaster}:               "took over: no other host advertised",
	{host.RoleMaster, host.RoleBackup}:  "another host took over, with a higher priority or address",
	{host.RoleFault, host.RoleBackup}:   "the fault is over",
	{host.RoleStopped, host.RoleBackup}: "keepalived was started",
	{"", host.RoleFault}:                "keepalived found a fault: its check of HAProxy fails, or the interface is down",
}

const drainedReason = "drained (rlb-agent undrain ends that)"

// staleRole is how much younger than the daemon's record keepalived's last transition may be for the record to be of
// that transition: both are written in whole seconds.
const staleRole = 2 * time.Second

// reason is why the role is what it is: as the daemon saw it change, else as far as it can be told now.
func (r *reading) reason(ctx context.Context, s *Status) {
	s.RoleReason = ""
	seen, err := state.ReadRole(ctx, r.o)
	r.note("the last change of role", err)
	if seen.Role == s.Role && s.RoleSince.Sub(seen.Since) < staleRole {
		s.RoleSince, s.RoleReason = seen.Since, seen.Reason
	}
	if s.Role != host.RoleFault || s.RoleReason != "" {
		return
	}
	haproxy, ok := r.unit(ctx, host.HAProxyUnit)
	switch {
	case s.Drained:
		s.RoleReason = drainedReason
	case r.guard.Fault:
		s.RoleReason = r.guard.Reason
	case ok && !haproxy.Active():
		s.RoleReason = fmt.Sprintf("haproxy is not running: it is %s (%s)", haproxy.ActiveState, haproxy.SubState)
	}
}

// virtualIPs looks which are on an interface: keepalived may think otherwise.
func (r *reading) virtualIPs(ctx context.Context, s *Status) []trouble {
	held, err := host.OwnAddresses(ctx, r.o)
	r.note("the addresses of this host", err)
	var missing, surplus []string
	for _, v := range r.spec.VirtualIPs {
		has := held[v.Addr()]
		s.VirtualIPs = append(s.VirtualIPs, VirtualIP{v.Addr().String(), has})
		switch {
		case err != nil || s.Role == host.RoleUnknown:
		case has && s.Role != host.RoleMaster:
			surplus = append(surplus, v.Addr().String())
		case !has && s.Role == host.RoleMaster:
			missing = append(missing, v.Addr().String())
		}
	}
	var all []trouble
	if len(missing) > 0 {
		all = append(all, trouble{"VirtualIPMissing", "keepalived is MASTER, but the interface lacks " + strings.Join(missing, ", ")})
	}
	if len(surplus) > 0 {
		all = append(all, trouble{"VirtualIPLeftBehind", fmt.Sprintf("the role is %s, but the interface still holds %s", s.Role, strings.Join(surplus, ", "))})
	}
	if r.guard.Conflict != "" && !r.guard.Fault {
		all = append(all, trouble{"SecondHolder", r.guard.Conflict})
	}
	return all
}
