package reconcile

import (
	"context"
	"time"
)

// KeepalivedRole is keepalived's own word: MASTER where one of its instances is, BACKUP or FAULT where none is and all
// tell what they are. UNKNOWN is also for a keepalived that started less than half a second ago, which must not be asked.
func KeepalivedRole(ctx context.Context, o Observer) (Role, error) {
	unit, err := o.Unit(ctx, keepalivedUnit)
	if err != nil {
		return RoleUnknown, err
	}
	if !unit.Active() {
		return RoleStopped, nil
	}
	if age := time.Since(unit.ActiveSince); age >= 0 && age < deafTime {
		return RoleUnknown, nil
	}
	instances, err := o.VRRP(ctx, unit.MainPID)
	if err != nil || len(instances) == 0 {
		return RoleUnknown, err
	}
	role := RoleBackup
	for _, i := range instances {
		switch {
		case i.Role == RoleMaster:
			return RoleMaster, nil
		case i.Role != RoleBackup && i.Role != RoleFault:
			role = RoleUnknown
		case role != RoleUnknown && i.Role == RoleFault:
			role = RoleFault
		}
	}
	return role, nil
}
