package host

import (
	"context"
	"time"
)

// Instance is one vrrp_instance as keepalived tells it.
type Instance struct {
	Name  string
	Role  Role
	Since time.Time // of the last transition
}

// Role is what a node is in the virtual router.
type Role string

// The roles.
const (
	RoleMaster  Role = "MASTER"
	RoleBackup  Role = "BACKUP"
	RoleFault   Role = "FAULT"   // must not hold the virtual IPs
	RoleStopped Role = "STOPPED" // keepalived is not running
	RoleUnknown Role = "UNKNOWN"
)

// SignalGrace is how long after its start keepalived is not asked for its state: a signal that comes before its process
// is ready for it would kill that.
const SignalGrace = 500 * time.Millisecond

// GraceLeft is how much of SignalGrace is left to a running keepalived, or 0. A start in the future, as after a step of the
// clock, has none.
func (u Unit) GraceLeft() time.Duration {
	age := time.Since(u.ActiveSince)
	if age < 0 {
		return 0
	}
	return max(0, SignalGrace-age)
}

// KeepalivedReader asks the running keepalived.
type KeepalivedReader interface {
	// VRRP is what keepalived says of its instances, within half a second. The process is the unit's main one.
	VRRP(ctx context.Context, pid int) ([]Instance, error)
}
