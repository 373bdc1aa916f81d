package host

import (
	"context"
	"strings"
	"time"
)

// The units that the agent manages, and its own (systemd.unit(5)). render.OwnUnits lists more.
const (
	HAProxyUnit    = "haproxy.service"
	KeepalivedUnit = "keepalived.service"
	AgentUnit      = "rlb-agent.service"
	RejoinUnit     = "rlb-rejoin.service" // waits for a peer to leave the former virtual router; it outlives the agent
)

// UnitDir holds the unit files of the administrator and of the agent.
const UnitDir = "/etc/systemd/system/"

// Unit is the state of one systemd unit.
type Unit struct {
	Name             string
	LoadState        string            // loaded, not-found, masked …
	ActiveState      string            // active, reloading, inactive, failed …
	SubState         string            // running, exited, dead …
	Says             string            // the service's own status text (sd_notify(3), STATUS); "" if it sends none
	UnitFileState    string            // enabled, disabled, masked, masked-runtime … "" if the unit does not exist
	NeedDaemonReload bool              // files changed since systemd read them
	MainPID          int               // 0 if not running
	Replaced         bool              // the file of the running program was replaced since, for example by an upgrade
	CommandLine      []string          // of the main process; nil if it does not run or is not readable
	Restarts         int               // automatic restarts (Restart=) since the last manual start
	InvocationID     string            // identifies one run of the unit; "" if it never ran
	ActiveSince      time.Time         // zero if not active
	Died             time.Time         // when the main process exited by itself or was killed; zero if it runs or was stopped
	Environment      map[string]string // Environment= and EnvironmentFile= together, as the unit's processes get them
}

// Active says whether the unit runs, or is a oneshot that ran and stays active.
func (u Unit) Active() bool { return u.ActiveState == "active" || u.ActiveState == "reloading" }

// Stopped says whether the unit was stopped or is stopping, by a job or because its main process exited without an error. A
// unit whose main process died is failed, or activating if systemd restarts it.
func (u Unit) Stopped() bool { return u.ActiveState == "inactive" || u.ActiveState == "deactivating" }

// DiedSince says whether the unit's main process has died since the unit was in the state before. A manual stop or restart
// does not count.
func (u Unit) DiedSince(before Unit) bool {
	return u.ActiveState == "failed" || u.Restarts > before.Restarts || strings.HasPrefix(u.SubState, "auto-restart")
}

// Rests returns what is left of a waiting time that starts at the death of the unit's main process; 0 if it did not die.
func (u Unit) Rests(rest time.Duration) time.Duration {
	if u.Died.IsZero() {
		return 0
	}
	return max(0, time.Until(u.Died.Add(rest)))
}

// Masked says whether the unit is masked and so cannot start.
func (u Unit) Masked() bool { return strings.HasPrefix(u.UnitFileState, "masked") }

// Enabled says whether the unit starts at boot.
func (u Unit) Enabled() bool { return u.UnitFileState == "enabled" }

// MasterSocket returns the path of HAProxy's master CLI, from the -S option of its unit, or "".
func (u Unit) MasterSocket() string {
	path, _, _ := strings.Cut(Argument(u.Environment["EXTRAOPTS"], "-S", "--master-socket"), ",")
	return strings.TrimPrefix(path, "unix@")
}

// Argument returns the value of an option in a command line: "-f PATH", "-fPATH", "--use-file PATH" or "--use-file=PATH".
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

// UnitReader reads systemd units.
type UnitReader interface {
	// Unit returns the state of a systemd unit. A missing unit is no error.
	Unit(ctx context.Context, name string) (Unit, error)
}

// UnitWriter changes systemd units.
type UnitWriter interface {
	// MaskUnit prevents a unit from starting until UnmaskUnit or a reboot (a runtime mask). The unit need not exist yet.
	MaskUnit(ctx context.Context, name string) error
	// UnmaskUnit removes both kinds of mask.
	UnmaskUnit(ctx context.Context, name string) error
	// EnableUnit makes a unit start at boot.
	EnableUnit(ctx context.Context, name string) error
	// DisableUnit makes a unit not start at boot.
	DisableUnit(ctx context.Context, name string) error
	// ReloadManager makes systemd read changed unit files.
	ReloadManager(ctx context.Context) error
	// StartUnit starts a unit and waits until the job is done.
	StartUnit(ctx context.Context, name string) error
	// StopUnit stops a unit and waits until the job is done.
	StopUnit(ctx context.Context, name string) error
	// RestartUnit restarts a unit and waits until the job is done.
	RestartUnit(ctx context.Context, name string) error
	// ReloadUnit makes a running unit read its configuration, and waits until systemd reports the job as done.
	ReloadUnit(ctx context.Context, name string) error
	// RunDetached runs a command, with its absolute path, in a unit of its own that outlives the agent. If that unit
	// already runs, RunDetached does nothing.
	RunDetached(ctx context.Context, unit string, args ...string) error
}
