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
	"rlb.dev/rlb-agent/reconcile/host/debian/systemd"
	"rlb.dev/rlb-agent/render"
)

// The unit of HAProxy reloads with two commands: haproxy -c, and a signal to the master (SIGUSR2; management guide §4). The
// first takes half of the time of an edit, and repeats what Check has just done. So if the file is the one that Check
// accepted, and the unit has no other commands, only the signal is sent.

// accepted is the configuration that haproxy -c last accepted.
type accepted struct {
	path, digest string
	args         string // the other files that were read with it
}

// accept records the configuration that haproxy -c accepted.
func (h *Host) accept(file render.File, args []string, candidate string) {
	h.acceptedMutex.Lock()
	defer h.acceptedMutex.Unlock()
	h.accepted = accepted{file.Path, host.Digest(file.Data), argsBut(args, candidate)}
}

// argsBut returns arguments without the candidate, whose name differs each time.
func argsBut(args []string, candidate string) string {
	return program.Command{Args: slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return arg == candidate })}.String()
}

// reloadCheckedBefore says whether Check already did everything that a reload of HAProxy does before its signal.
func (h *Host) reloadCheckedBefore(ctx context.Context) bool {
	h.acceptedMutex.Lock()
	was := h.accepted
	h.acceptedMutex.Unlock()
	if was.path == "" {
		return false
	}
	p, err := h.systemd.Properties(ctx, host.HAProxyUnit)
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

// plainReload says whether a unit reloads with a check by haproxy and a signal to its main process, as the units of all
// packages and HAProxy's own do, and propagates its reload to no other unit.
func plainReload(p systemd.Properties) bool {
	commands := p.Commands("ExecReload")
	if len(commands) != 2 || len(p.Texts("PropagatesReloadTo")) > 0 || p.Text("ActiveState") != "active" || p.Int("MainPID") == 0 {
		return false
	}
	check, signal := commands[0], commands[1]
	return len(check) > 0 && filepath.Base(check[0]) == "haproxy" && slices.Contains(check, "-c") &&
		len(signal) == 3 && filepath.Base(signal[0]) == "kill" && signal[1] == "-USR2" && signal[2] == "$MAINPID"
}

// signalMain sends a signal to the main process of a unit.
func (h *Host) signalMain(ctx context.Context, name string, signal syscall.Signal) error {
	do := "reload " + name
	bus, err := h.systemd.Jobs()
	if err != nil {
		return systemd.Unreachable(do, err)
	}
	h.log.DebugContext(ctx, "asks systemd", "to", "send "+unix.SignalName(signal)+" to "+name)
	if err := bus.KillUnitWithTarget(ctx, name, dbus.Main, int32(signal)); err != nil {
		return systemd.Error(do, err)
	}
	return nil
}
