package main

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// How much the heap may grow before it is collected (runtime/debug.SetGCPercent): in a run by little, and while there is
// nothing to do by next to nothing.
const (
	busyGC = 40
	idleGC = 10
)

// releaseMemory gives back what only a run needs: the heap, and the pages of the program itself, which the kernel keeps
// in its cache as long as there is room, and brings back at once when they are called.
func releaseMemory() {
	debug.SetGCPercent(idleGC)
	debug.FreeOSMemory()
	program, err := os.Executable()
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps") // proc(5): address perms offset dev inode pathname
	if err != nil {
		return
	}
	for line := range strings.Lines(string(maps)) {
		fields := strings.Fields(line)
		if len(fields) != 6 || fields[5] != program || fields[1] != "r-xp" && fields[1] != "r--p" { // never written, so nothing is lost
			continue
		}
		begin, end, _ := strings.Cut(fields[0], "-")
		from, err := strconv.ParseUint(begin, 16, 64)
		to, endErr := strconv.ParseUint(end, 16, 64)
		if err == nil && endErr == nil {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, uintptr(from), uintptr(to-from), unix.MADV_DONTNEED)
		}
	}
}
