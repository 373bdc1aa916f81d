package debian

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
)

// Unit returns the state of a systemd unit.
func (h *Host) Unit(ctx context.Context, name string) (host.Unit, error) {
	p, err := h.systemd.Properties(ctx, name)
	if err != nil {
		return host.Unit{}, err
	}
	unit := host.Unit{
		Name:             name,
		LoadState:        p.Text("LoadState"),
		ActiveState:      p.Text("ActiveState"),
		SubState:         p.Text("SubState"),
		Says:             p.Text("StatusText"),
		UnitFileState:    p.Text("UnitFileState"),
		NeedDaemonReload: p.Bool("NeedDaemonReload"),
		MainPID:          p.Int("MainPID"),
		Replaced:         h.replaced(p.Int("MainPID")),
		CommandLine:      h.commandLine(p.Int("MainPID")),
		Restarts:         p.Int("NRestarts"),
		InvocationID:     p.Hex("InvocationID"),
	}
	if unit.Active() {
		unit.ActiveSince = p.Time("ActiveEnterTimestamp")
	} else if result := p.Text("Result"); unit.MainPID == 0 && result != "" && result != "success" {
		unit.Died = p.Time("ExecMainExitTimestamp")
	}
	unit.Environment, err = p.Environment()
	if unread, ok := errors.AsType[*fs.PathError](err); ok {
		err = wrap("read "+unread.Path, unread.Err)
	}
	return unit, err
}

// commandLine returns the command line of a process, or nil.
func (h *Host) commandLine(pid int) []string {
	if pid == 0 {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(h.proc, strconv.Itoa(pid), "cmdline"))
	if err != nil || len(data) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
}

// replaced says whether a unit's main process, or all of its children, run a program whose file has since been replaced
// (proc(5), /proc/pid/exe). After a reload HAProxy's master runs the new program, and only the workers that finish their
// connections run the old one; after a failed reload all its workers run the old one.
func (h *Host) replaced(mainPID int) bool {
	if mainPID == 0 {
		return false
	}
	if h.lostFile(mainPID) {
		return true
	}
	children, _ := h.children(mainPID)
	return len(children) > 0 && !slices.ContainsFunc(children, func(pid int) bool { return !h.lostFile(pid) })
}

// lostFile says whether the file that a process runs was removed. If the process has exited or is not readable, it was not.
func (h *Host) lostFile(pid int) bool {
	path, err := os.Readlink(filepath.Join(h.proc, strconv.Itoa(pid), "exe"))
	return err == nil && strings.HasSuffix(path, " (deleted)")
}
