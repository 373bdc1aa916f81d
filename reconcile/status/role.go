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

// role asks keepalived for its role. If two instances form a group, the worse role of the two counts.
func (r *reading) role(ctx context.Context, s *Status) {
	unit, ok := r.unit(ctx, host.KeepalivedUnit)
	if !ok {
		return
	}
	if !unit.Active() {
		r.stopped(ctx, s, unit)
		return
	}
	if left := unit.GraceLeft(); left > 0 { // before that, the signal would kill keepalived
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

// askKeepalived asks keepalived for its role in the background, because the answer takes some milliseconds. It does
// nothing if keepalived does not run or must not be asked yet. done waits for the answer.
func (r *reading) askKeepalived(ctx context.Context, unit host.Unit) (done func()) {
	if !unit.Active() || unit.GraceLeft() > 0 {
		return func() {}
	}
	r.instances = sync.OnceValues(func() ([]host.Instance, error) { return r.o.VRRP(ctx, unit.MainPID) })
	var asked sync.WaitGroup
	asked.Go(func() { _, _ = r.instances() }) // role reports the error
	return asked.Wait
}

// roleFresh is the age up to which the status uses keepalived's last answer again without a look at keepalived's log.
const roleFresh = 5 * time.Second

// recentRole uses keepalived's last answer again. It requires that the daemon runs, which would have recorded a change
// since then, and that nothing on this host contradicts the answer. It never does so for FAULT: the end of a FAULT
// leaves no trace on this host.
func (r *reading) recentRole(ctx context.Context, s *Status) bool {
	age := r.now.Sub(r.answered.RoleSeen)
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
	if err != nil || ownErr != nil || noted.Role != r.answered.Role || r.answered.Role != host.RoleMaster && r.answered.Role != host.RoleBackup {
		return false
	}
	for _, v := range r.spec.VirtualIPs {
		if own[v.Addr()] != (r.answered.Role == host.RoleMaster) {
			return false
		}
	}
	if age > roleFresh && !r.quiet(r.answered.RoleSeen) {
		return false
	}
	s.Role, s.RoleSince, s.RoleSeen = r.answered.Role, r.answered.RoleSince, r.answered.RoleSeen
	r.reason(ctx, s)
	return true
}

// cachedRole is the role that the daemon recorded last, for a caller that must not ask keepalived.
func (r *reading) cachedRole(ctx context.Context, s *Status) {
	unit, ok := r.unit(ctx, host.KeepalivedUnit)
	switch {
	case !ok:
		return
	case !unit.Active():
		r.stopped(ctx, s, unit)
		return
	}
	if s.Role == host.RoleStopped { // keepalived was started since
		s.Role, s.RoleSince, s.RoleReason = host.RoleUnknown, time.Time{}, ""
	}
	if seen, err := state.ReadRole(ctx, r.o); err == nil && seen.Role != "" {
		s.Role, s.RoleSince = seen.Role, seen.Since
	}
	r.reason(ctx, s)
}

// stopped sets the role if keepalived does not run. If the unit that waits for the peers is active, the reason is that
// keepalived is kept out.
func (r *reading) stopped(ctx context.Context, s *Status, unit host.Unit) {
	s.Role, s.RoleSince, s.RoleSeen = host.RoleStopped, time.Time{}, time.Time{}
	s.RoleReason = fmt.Sprintf("keepalived is not running: it is %s (%s)", unit.ActiveState, unit.SubState)
	if s.Drained {
		s.RoleReason = drainedReason
	} else if rejoin, err := r.o.Unit(ctx, host.RejoinUnit); err == nil && rejoin.Active() {
		r.keptOut, s.RoleReason = true, "keepalived is kept out until every peer has the new virtual router too"
	}
}

// noteRole records a change of the role, with its reason as far as it is known.
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

// changeReasons say what a change from one role to another means. An entry from "" holds for a change from any other
// role.
var changeReasons = map[[2]host.Role]string{
	{host.RoleBackup, host.RoleMaster}:  "took over: the other host stopped advertising, or has a lower priority",
	{"", host.RoleMaster}:               "took over: no other host advertised",
	{host.RoleMaster, host.RoleBackup}:  "another host took over, with a higher priority or address",
	{host.RoleFault, host.RoleBackup}:   "the fault is over",
	{host.RoleStopped, host.RoleBackup}: "keepalived was started",
	{"", host.RoleFault}:                "keepalived found a fault: its check of HAProxy fails, or the interface is down",
}

const drainedReason = "drained (rlb-agent undrain ends that)"

// staleRole is a difference in time. If keepalived's last transition is at least this much newer than the daemon's
// record, then the record is of an earlier transition. Both times are in whole seconds.
const staleRole = 2 * time.Second

// reason sets why the role is what it is: from the daemon's record of the change, else from the present state of the
// host.
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

// virtualIPs reads which virtual IPs are on an interface. This may differ from what keepalived reports.
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
