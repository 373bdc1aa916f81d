package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// vrrpPriority is above what ordinary programs have, and below the kernel's own threads that are real-time (50 and up).
const vrrpPriority = 40

// HastenVRRP makes the processes that a keepalived has made real-time ones (sched(7)), so that advertisements go out
// and come in on time while all cores are busy. What they start themselves, scripts, is not.
func (h *Host) HastenVRRP(_ context.Context, keepalived int) error {
	return h.effect.Do(fmt.Sprintf("HastenVRRP %d", keepalived), func() error { return h.hastenVRRP(keepalived) })
}

func (h *Host) hastenVRRP(keepalived int) error {
	children, err := h.children(keepalived)
	if err != nil {
		return wrap("find keepalived's processes", err)
	}
	var errs []error
	for _, pid := range children {
		if err := makeRealtime(pid); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, wrap("make keepalived a real-time process", err))
		}
	}
	return errors.Join(errs...)
}

// makeRealtime gives a process, or with 0 this thread, the priority of a VRRP process.
func makeRealtime(pid int) error {
	return unix.SchedSetAttr(pid, &unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Priority: vrrpPriority,
	}, 0)
}

// childrenIn are the children in the lists of a process's threads.
func childrenIn(lists []string) (all []int) {
	for _, path := range lists {
		text, _ := os.ReadFile(path)
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				all = append(all, pid)
			}
		}
	}
	return all
}

// children are the processes of that parent.
func (h *Host) children(parent int) ([]int, error) {
	if lists, _ := filepath.Glob(filepath.Join(h.proc, strconv.Itoa(parent), "task", "*", "children")); len(lists) > 0 {
		return childrenIn(lists), nil
	}
	// Not every kernel has them (proc(5), /proc/pid/task/tid/children).
	stats, err := filepath.Glob(filepath.Join(h.proc, "[0-9]*", "stat"))
	if err != nil {
		return nil, err
	}
	var all []int
	for _, path := range stats {
		fields := procStat(path)
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			all = append(all, pid)
		}
	}
	return all, nil
}

// procStat are the fields of a process's or thread's stat file from its state on; none where it has ended. Before them
// the name of the program stands in brackets, and may have any in it (proc_pid_stat(5)).
func procStat(path string) []string {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
}
