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

// vrrpPriority is above ordinary programs, and below the kernel's own real-time threads (50 and up).
const vrrpPriority = 40

// HastenVRRP gives the child processes of a keepalived real-time priority (sched(7)), so that advertisements are sent and
// received on time while all cores are busy. Scripts that these processes start do not inherit it.
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

// childrenIn returns the children in the lists of a process's threads.
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

// children returns the child processes of a process.
func (h *Host) children(parent int) ([]int, error) {
	if lists, _ := filepath.Glob(filepath.Join(h.proc, strconv.Itoa(parent), "task", "*", "children")); len(lists) > 0 {
		return childrenIn(lists), nil
	}
	// Not every kernel has these files (proc(5), /proc/pid/task/tid/children).
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

// procStat returns the fields of a process's or thread's stat file from its state on; none if it has ended. Before them
// comes the program's name in parentheses, which can itself contain parentheses (proc_pid_stat(5)).
func procStat(path string) []string {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
}
