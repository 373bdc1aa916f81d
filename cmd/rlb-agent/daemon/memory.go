package daemon

import (
	"os"
	"runtime/debug"
	"time"
)

// GOGC percentages: how much garbage may pile up before a collection, relative to the live heap. Go's default is 100.
const (
	// daemonPercent is the daemon's. Its live heap is 1 MiB. Go lets a heap grow to 4 MiB before the first collection,
	// scaled by this percentage: an idle daemon is 1 MiB smaller.
	daemonPercent = 50
	// commandPercent is that of commands. A command with nothing to do makes 3 MiB of garbage, and collecting it takes a
	// tenth of its time. With this percentage the heap may grow to 8 MiB first.
	commandPercent = 200
)

// The memory that a process may use, in bytes, before it collects garbage whatever the percentage: some for each byte of
// the spec, and some for the rest. To read a spec of 100,000 servers, 5 MB, takes some 35 for each byte without any garbage.
// With fewer to spare there are more collections.
const (
	memoryOfSpec = 42
	memoryOfRest = 64 << 20
)

// savedTime is the running time after which a command is not short any more and returns to Go's default.
const savedTime = 10 * time.Second

// SaveTime makes this process, which may end soon, collect garbage less often for its first ten seconds. Call it before
// Run.
func SaveTime() {
	collectAt(commandPercent)
	time.AfterFunc(savedTime, func() {
		if was := debug.SetGCPercent(100); was != commandPercent {
			debug.SetGCPercent(was)
		}
	})
}

// SaveMemory limits the memory of this process by the size of its spec, in bytes. Garbage of a small spec never reaches
// the limit. GOMEMLIMIT in the environment has precedence.
func SaveMemory(spec int) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryOfRest + memoryOfSpec*int64(spec))
	}
}

// collectAt sets the percentage, unless GOGC is in the environment.
func collectAt(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}
