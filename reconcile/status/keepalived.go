package status

import (
	"context"

	"rlb.dev/rlb-agent/reconcile/host"
)

// KeepalivedRole is the role that keepalived itself reports: MASTER if one of its instances is MASTER; BACKUP or FAULT
// if no instance is MASTER and each reports its state. UNKNOWN also stands for a keepalived that started less than half
// a second ago: the signal that asks for the state would kill it.
func KeepalivedRole(ctx context.Context, o host.Observer) (host.Role, error) {
	unit, err := o.Unit(ctx, host.KeepalivedUnit)
	if err != nil {
		return host.RoleUnknown, err
	}
	if !unit.Active() {
		return host.RoleStopped, nil
	}
	if unit.GraceLeft() > 0 {
		return host.RoleUnknown, nil
	}
	instances, err := o.VRRP(ctx, unit.MainPID)
	if err != nil || len(instances) == 0 {
		return host.RoleUnknown, err
	}
	role := host.RoleBackup
	for _, i := range instances {
		switch {
		case i.Role == host.RoleMaster:
			return host.RoleMaster, nil
		case i.Role != host.RoleBackup && i.Role != host.RoleFault:
			role = host.RoleUnknown
		case role != host.RoleUnknown && i.Role == host.RoleFault:
			role = host.RoleFault
		}
	}
	return role, nil
}
