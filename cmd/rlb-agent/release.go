package main

import (
	"fmt"
	"os"
	"runtime/debug"
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
		var from, to uintptr
		var perms string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &perms); err != nil || !strings.HasSuffix(line, " "+program+"\n") {
			continue
		}
		if perms == "r-xp" || perms == "r--p" { // never written, so nothing is lost
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
		}
	}
}
