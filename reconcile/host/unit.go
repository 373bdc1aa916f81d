package host

import (
	"context"
	"strings"
	"time"
)

// The units that the agent keeps, and its own (systemd.unit(5)). render.OwnUnits are more.
const (
	HAProxyUnit    = "haproxy.service"
	KeepalivedUnit = "keepalived.service"
	AgentUnit      = "rlb-agent.service"
	RejoinUnit     = "rlb-rejoin.service" // waits for a peer to leave the former virtual router; it outlives the agent
)

// UnitDir is where units of the administrator, and the agent's, lie.
const UnitDir = "/etc/systemd/system/"

// Unit is the state of one systemd unit.
type Unit struct {
	Name             string
	LoadState        string            // loaded, not-found, masked …
	ActiveState      string            // active, reloading, inactive, failed …
	SubState         string            // running, exited, dead …
	Says             string            // what the service tells systemd that it does (sd_notify(3), STATUS); "" where it does not
	UnitFileState    string            // enabled, disabled, masked, masked-runtime … "" where it does not exist
	NeedDaemonReload bool              // files changed since systemd read them
	MainPID          int               // 0 where not running
	Replaced         bool              // the unit runs a program whose file was replaced since, as by an upgrade
	CommandLine      []string          // of the main process; nil where it is not running or may not be seen
	Restarts         int               // how often systemd started it again by itself since somebody started it (Restart=)
	InvocationID     string            // names one run of the unit; "" where it never ran
	ActiveSince      time.Time         // zero where not active
	Died             time.Time         // when the main process ended by itself or was killed; zero where it runs or was stopped
	Environment      map[string]string // Environment= and EnvironmentFile= together, as the unit's processes get them
}

// Active says whether the unit is running, or has run and stays so (a oneshot).
func (u Unit) Active() bool { return u.ActiveState == "active" || u.ActiveState == "reloading" }

// Stopped says whether the unit was stopped or is being stopped, by a job or by its main process, which ended without an
// error. One whose main process died has failed, or is activating where systemd starts it again.
func (u Unit) Stopped() bool { return u.ActiveState == "inactive" || u.ActiveState == "deactivating" }

// DiedSince says whether the unit's main process has died since the unit was as before. One that somebody stops or restarts
// has not.
func (u Unit) DiedSince(before Unit) bool {
	return u.ActiveState == "failed" || u.Restarts > before.Restarts || strings.HasPrefix(u.SubState, "auto-restart")
}

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

// MasterSocket is the path of HAProxy's master CLI, from the -S option of its unit, or "".
func (u Unit) MasterSocket() string {
	path, _, _ := strings.Cut(Argument(u.Environment["EXTRAOPTS"], "-S", "--master-socket"), ",")
	return strings.TrimPrefix(path, "unix@")
}

// Argument is the value of an option in a command line: "-f PATH", "-fPATH", "--use-file PATH" or "--use-file=PATH".
func Argument(line, short, long string) string {
	words := strings.Fields(line)
	for i, word := range words {
		switch {
		case (word == short || word == long) && i+1 < len(words):
			return words[i+1]
		case strings.HasPrefix(word, long+"="):
			return strings.TrimPrefix(word, long+"=")
		case strings.HasPrefix(word, short) && len(word) > len(short) && !strings.HasPrefix(word, "--"):
			return strings.TrimPrefix(word, short)
		}
	}
	return ""
}

// UnitReader looks at systemd units.
type UnitReader interface {
	// Unit is the state of a systemd unit. A unit that does not exist is no error.
	Unit(ctx context.Context, name string) (Unit, error)
}

// UnitWriter changes systemd units.
type UnitWriter interface {
	// MaskUnit keeps a unit from being started until UnmaskUnit or a reboot (a runtime mask); it need not exist yet.
	MaskUnit(ctx context.Context, name string) error
	// UnmaskUnit takes masks of both kinds away.
	UnmaskUnit(ctx context.Context, name string) error
	// EnableUnit makes a unit start at boot.
	EnableUnit(ctx context.Context, name string) error
	// DisableUnit makes a unit not start at boot.
	DisableUnit(ctx context.Context, name string) error
	// ReloadManager makes systemd read changed unit files.
	ReloadManager(ctx context.Context) error
	// StartUnit starts a unit and waits until that is done.
	StartUnit(ctx context.Context, name string) error
	// StopUnit stops a unit and waits until that is done.
	StopUnit(ctx context.Context, name string) error
	// RestartUnit restarts a unit and waits until that is done.
	RestartUnit(ctx context.Context, name string) error
	// ReloadUnit makes a running unit read its configuration, and waits until systemd calls that done.
	ReloadUnit(ctx context.Context, name string) error
	// RunDetached runs a command, with its absolute path, in a unit of its own that outlives the agent. Where that unit
	// runs already nothing is done.
	RunDetached(ctx context.Context, unit string, args ...string) error
}
