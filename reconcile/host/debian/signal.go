package debian

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
)

// signalFile, below host.RunDir, keeps a stateSignal for the next process: keepalived takes 10 ms to print it.
const signalFile = "keepalived.signal"

// A stateSignal is the signal that makes keepalived write its state (keepalived(8), SIGJSON), as this program reported it.
type stateSignal struct {
	Program string         `json:"program"` // identifies the program's file; "" if unknown
	Signal  syscall.Signal `json:"signal"`
}

// stateSignal returns that signal. Its number varies, so every other keepalived program is asked for it.
func (h *Host) stateSignal(ctx context.Context) (syscall.Signal, error) {
	file := ""
	if path, err := h.programs.Find("keepalived"); err == nil {
		file = identity(path)
	}
	if h.vrrpSignal.Signal != 0 && h.vrrpSignal.Program == file {
		return h.vrrpSignal.Signal, nil
	}
	if kept := h.keptSignal(); file != "" && kept.Program == file {
		h.vrrpSignal = kept
		return kept.Signal, nil
	}
	out, err := h.programs.Do(ctx, "ask keepalived for its state", program.Command{Name: "keepalived", Args: []string{"--signum=JSON"}})
	number, convErr := strconv.Atoi(strings.TrimSpace(out.Stdout))
	if err := errors.Join(err, convErr); err != nil { // built without JSON support
		return 0, fmt.Errorf("%w: %w", err, host.ErrUnavailable)
	}
	h.vrrpSignal = stateSignal{file, syscall.Signal(number)}
	h.keepSignal()
	return h.vrrpSignal.Signal, nil
}

// firstRealtime is the kernel's first real-time signal (signal(7)). Lower signals mean something else to keepalived, or end
// it.
const firstRealtime = 32

// keptSignal returns the signal that an earlier process kept; the zero value if there is none or the file is damaged.
func (h *Host) keptSignal() (kept stateSignal) {
	data, err := os.ReadFile(filepath.Join(h.run, signalFile))
	if err != nil || json.Unmarshal(data, &kept) != nil || kept.Signal < firstRealtime {
		return stateSignal{}
	}
	return kept
}

// keepSignal keeps the signal if the agent's directory exists. If that fails, the next process asks again.
func (h *Host) keepSignal() {
	data, err := json.Marshal(h.vrrpSignal)
	if err == nil {
		err = replace(h.run, filepath.Join(h.run, signalFile), data, 0o600, os.Geteuid(), os.Getegid())
	}
	if err != nil {
		h.log.Debug("cannot keep keepalived's signal", "err", err)
	}
}

// identity identifies the content of a file without reading it: a replaced or written file has another identity.
func identity(path string) string {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return ""
	}
	return fmt.Sprintf("%s: device %d, inode %d, %d bytes, written %d, changed %d", path, st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano())
}
