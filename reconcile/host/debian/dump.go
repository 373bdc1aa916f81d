package debian

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/patience"
	"rlb.dev/rlb-agent/reconcile/host/rootpath"
	"rlb.dev/rlb-agent/render"
)

const (
	dumpName     = "keepalived.json"
	askLock      = "keepalived.lock"      // below host.RunDir
	dumpPatience = 500 * time.Millisecond // for a dump that is not urgent
	firstLook    = 500 * time.Microsecond // after the signal; keepalived usually answers within a millisecond
	maxDump      = 16 << 20
)

// dump makes keepalived write its state, and returns once whole accepts the data: keepalived writes it in pieces.
// keepalived writes to $TMPDIR (2.2.7 and newer) or to /tmp, where any user can block the file: that error does not wrap
// host.ErrNoAnswer. silent starts a waiting time; its result is called repeatedly and says whether the time is over.
func (h *Host) dump(pid int, silent func() func(now time.Time) bool, ask func() error, whole func([]byte) bool) error {
	defer h.askAlone(silent())()
	process := filepath.Join(h.proc, strconv.Itoa(pid))
	places, err := dumpPlaces(process)
	if err != nil {
		return err
	}
	var dirs []*os.File
	defer func() {
		for _, dir := range dirs {
			_ = dir.Close() // nothing was written
		}
	}()
	var blocked []error
	for _, place := range places {
		if place == render.KeepalivedTemp { // it may have been removed
			_ = makeDirs(place) // an error shows below
		}
		dir, err := rootpath.Below(filepath.Join(process, "root"), place, false)
		if err == nil {
			dirs = append(dirs, dir)
			err = removeAt(dir, dumpName) // an old file is no answer
		}
		blocked = append(blocked, err)
	}
	if err := ask(); err != nil {
		return err
	}
	defer h.silence.Store(nil)
	pause, asked, inTheWay := firstLook, time.Now(), errors.Join(blocked...) != nil
	for now, silent := asked, silent(); !silent(now); now = time.Now() {
		for _, dir := range dirs {
			data, err := readRootFile(dir, dumpName)
			if err == nil && whole(data) {
				return removeAt(dir, dumpName)
			}
			inTheWay = inTheWay || err != nil && !errors.Is(err, fs.ErrNotExist)
		}
		if !inTheWay {
			h.silence.Store(&silence{pid, asked, now})
		}
		time.Sleep(pause)
		pause = min(2*pause, patience.Tick)
	}
	for _, dir := range dirs {
		if _, err := readRootFile(dir, dumpName); !errors.Is(err, fs.ErrNotExist) {
			blocked = append(blocked, err)
		}
	}
	if err := errors.Join(blocked...); err != nil {
		return err
	}
	return host.ErrNoAnswer
}

// askAlone waits until no other process asks keepalived, because the other process would remove an answer before it is
// read. done lets the next process ask. A stopped process delays the others no longer than a hung keepalived would.
func (h *Host) askAlone(silent func(now time.Time) bool) (done func()) {
	path := filepath.Join(h.run, askLock)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		h.log.Debug("cannot lock "+path, "err", err) // no agent has run here, so no daemon asks
		return func() {}
	}
	for unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil && !silent(time.Now()) {
		time.Sleep(patience.Tick)
	}
	return func() { _ = file.Close() } // nothing was written
}

// within limits the wait for a dump to a duration.
func within(limit time.Duration) func() func(now time.Time) bool {
	return func() func(now time.Time) bool {
		deadline := time.Now().Add(limit)
		return func(now time.Time) bool { return !now.Before(deadline) }
	}
}

// dumpPlaces returns the directories in which a keepalived can write its state, as its process sees them.
func dumpPlaces(process string) ([]string, error) {
	environ, err := os.ReadFile(filepath.Join(process, "environ"))
	if err != nil {
		return nil, err
	}
	places := []string{"/tmp"}
	for _, assignment := range bytes.Split(environ, []byte{0}) {
		if dir, found := strings.CutPrefix(string(assignment), "TMPDIR="); found && filepath.IsAbs(dir) {
			places = []string{filepath.Clean(dir), "/tmp"} // 2.1.5 ignores TMPDIR
		}
	}
	return slices.Compact(places), nil
}

func removeAt(dir *os.File, name string) error {
	if err := unix.Unlinkat(int(dir.Fd()), name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return &fs.PathError{Op: "remove", Path: filepath.Join(dir.Name(), name), Err: err}
	}
	return nil
}

// readRootFile reads a file of root that has no other name, so no other user can have put it there.
func readRootFile(dir *os.File, name string) ([]byte, error) {
	path := filepath.Join(dir.Name(), name)
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close() //nolint:errcheck // nothing was written
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Uid != 0 || st.Nlink != 1 {
		return nil, fmt.Errorf("%s is not a file of keepalived's", path)
	}
	return io.ReadAll(io.LimitReader(file, maxDump))
}
