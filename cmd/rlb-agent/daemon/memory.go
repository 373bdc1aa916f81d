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
	// largeSpec is the size in bytes, about 20,000 servers, from which commands save memory too. With Go's default a spec
	// of 100,000 servers may take more than 300 MiB at its peak. Percentages below 80 take more time.
	largeSpec        = 1 << 20
	largeSpecPercent = 80
)

// savedTime is the running time after which a command is not short any more and returns to Go's default.
const savedTime = 10 * time.Second

// SaveTime makes this process, which may end soon, collect garbage less often for its first ten seconds. Call it before
// Run and SaveMemory.
func SaveTime() {
	collectAt(commandPercent)
	time.AfterFunc(savedTime, func() {
		if was := debug.SetGCPercent(100); was != commandPercent {
			debug.SetGCPercent(was)
		}
	})
}

// SaveMemory makes this process collect garbage more often if its spec is large. spec is its size in bytes. A small one
// is read before there is any garbage.
func SaveMemory(spec int) {
	if spec >= largeSpec {
		collectAt(largeSpecPercent)
	}
}

// collectAt sets the percentage, unless GOGC is in the environment.
func collectAt(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}
