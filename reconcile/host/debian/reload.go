package debian

import (
	"context"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/coreos/go-systemd/v22/dbus"
	"golang.org/x/sys/unix"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
	"rlb.dev/rlb-agent/render"
)

// The unit of HAProxy reloads by two commands: haproxy -c, and a signal to the master (SIGUSR2; management guide §4). The
// first takes half of the time of an edit, and repeats what Check has just done. So where the file is the one that Check
// took, and the unit has no other commands, the signal alone is sent.

// accepted is the configuration that haproxy -c took last.
type accepted struct {
	path, digest string
	args         string // the other files that were read with it
}

// accept notes what haproxy -c took.
func (h *Host) accept(file render.File, args []string, candidate string) {
	h.acceptedMutex.Lock()
	defer h.acceptedMutex.Unlock()
	h.accepted = accepted{file.Path, host.Digest(file.Data), argsBut(args, candidate)}
}

// argsBut names arguments without the candidate, which has another name each time.
func argsBut(args []string, candidate string) string {
	return program.Command{Args: slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return arg == candidate })}.String()
}

// reloadCheckedBefore says whether all that a reload of HAProxy would do before its signal was done by Check.
func (h *Host) reloadCheckedBefore(ctx context.Context) bool {
	h.acceptedMutex.Lock()
	was := h.accepted
	h.acceptedMutex.Unlock()
	if was.path == "" {
		return false
	}
	p, err := h.properties(ctx, host.HAProxyUnit)
	if err != nil || !plainReload(p) {
		return false
	}
	file, err := h.File(ctx, was.path)
	if err != nil || host.Digest(file.Data) != was.digest {
		return false
	}
	args := append([]string{"-c"}, h.configArgs(ctx, host.HAProxyUnit, was.path, was.path)...)
	return argsBut(args, was.path) == was.args
}

// plainReload says whether a unit reloads by a check of haproxy and a signal to its main process, as all packages and
// HAProxy's own unit do, and makes no other unit reload.
func plainReload(p properties) bool {
	commands, _ := p["ExecReload"].Value().([][]any)
	if len(commands) != 2 || len(p.texts("PropagatesReloadTo")) > 0 || p.text("ActiveState") != "active" || p.int("MainPID") == 0 {
		return false
	}
	check, signal := execArgs(commands[0]), execArgs(commands[1])
	return len(check) > 0 && filepath.Base(check[0]) == "haproxy" && slices.Contains(check, "-c") &&
		len(signal) == 3 && filepath.Base(signal[0]) == "kill" && signal[1] == "-USR2" && signal[2] == "$MAINPID"
}

// execArgs is the command line of one command of a unit, of type (sasbttttuii): the arguments come second.
func execArgs(command []any) []string {
	if len(command) < 2 {
		return nil
	}
	args, _ := command[1].([]string)
	return args
}

// signalMain sends a signal to the main process of a unit.
func (h *Host) signalMain(ctx context.Context, name string, signal syscall.Signal) error {
	do := "reload " + name
	bus, err := h.manager()
	if err != nil {
		return wrapUnavailable(do, err)
	}
	h.log.DebugContext(ctx, "asks systemd", "to", "send "+unix.SignalName(signal)+" to "+name)
	if err := bus.KillUnitWithTarget(ctx, name, dbus.Main, int32(signal)); err != nil {
		return systemdError(do, err)
	}
	return nil
}
