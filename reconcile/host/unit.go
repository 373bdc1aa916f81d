package host

import (
	"strings"
	"time"
)

// The units of the packages that the agent keeps (systemd.unit(5)).
const (
	HAProxyUnit    = "haproxy.service"
	KeepalivedUnit = "keepalived.service"
)

// Unit is the state of one systemd unit.
type Unit struct {
	Name             string
	LoadState        string            // loaded, not-found, masked …
	ActiveState      string            // active, reloading, inactive, failed …
	SubState         string            // running, exited, dead …
	UnitFileState    string            // enabled, disabled, masked, masked-runtime … "" where it does not exist
	NeedDaemonReload bool              // files changed since systemd read them
	MainPID          int               // 0 where not running
	CommandLine      []string          // of the main process; nil where it is not running or may not be seen
	InvocationID     string            // names one run of the unit; "" where it never ran
	ActiveSince      time.Time         // zero where not active
	Died             time.Time         // when the main process ended by itself or was killed; zero where it runs or was stopped
	Environment      map[string]string // Environment= and EnvironmentFile= together, as the unit's processes get them
}

// Active says whether the unit is running, or has run and stays so (a oneshot).
func (u Unit) Active() bool { return u.ActiveState == "active" || u.ActiveState == "reloading" }

// Rests is what is left now of a rest after the death of the unit's main process; 0 where it did not die.
func (u Unit) Rests(rest time.Duration) time.Duration {
	if u.Died.IsZero() {
		return 0
	}
	return max(0, time.Until(u.Died.Add(rest)))
}

// Masked says whether the unit is kept from starting.
func (u Unit) Masked() bool { return strings.HasPrefix(u.UnitFileState, "masked") }

// Enabled says whether the unit starts at boot.
func (u Unit) Enabled() bool { return u.UnitFileState == "enabled" }
