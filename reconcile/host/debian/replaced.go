package debian

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// replaced says whether a unit's main process, or all of its children, run a program whose file is there no more: a new
// one took its place (proc(5), /proc/pid/exe). After a reload HAProxy's master is new, and the workers that finish their
// connections are not; where the reload failed none of its workers is new.
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

// lostFile says whether the file that a process runs was removed. One that is gone, or may not be seen, has it.
func (h *Host) lostFile(pid int) bool {
	path, err := os.Readlink(filepath.Join(h.proc, strconv.Itoa(pid), "exe"))
	return err == nil && strings.HasSuffix(path, " (deleted)")
}
