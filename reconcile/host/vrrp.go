package host

import (
	"context"
	"time"
)

// Instance is the state of one vrrp_instance as keepalived reports it.
type Instance struct {
	Name  string
	Role  Role
	Since time.Time // of the last transition
}

// Role is the state of a node in the virtual router.
type Role string

// The roles.
const (
	RoleMaster  Role = "MASTER"
	RoleBackup  Role = "BACKUP"
	RoleFault   Role = "FAULT"   // must not hold the virtual IPs
	RoleStopped Role = "STOPPED" // keepalived is not running
	RoleUnknown Role = "UNKNOWN"
)

// SignalGrace is how long after its start the agent does not ask keepalived for its state: a signal that arrives before
// keepalived has installed its handler would kill it.
const SignalGrace = 500 * time.Millisecond

// GraceLeft returns the rest of SignalGrace of a running keepalived, or 0. A start in the future, as after a step of the
// clock, has no grace left.
func (u Unit) GraceLeft() time.Duration {
	age := time.Since(u.ActiveSince)
	if age < 0 {
		return 0
	}
	return max(0, SignalGrace-age)
}

// KeepalivedReader queries the running keepalived.
type KeepalivedReader interface {
	// VRRP returns the state of keepalived's instances, within half a second. pid is the main process of the unit.
	VRRP(ctx context.Context, pid int) ([]Instance, error)
}
