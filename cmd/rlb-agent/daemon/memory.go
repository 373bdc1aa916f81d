package daemon

import (
	"os"
	"runtime/debug"
	"time"
)

// How much garbage may lie around before it is collected, in percent of what is in use. Go's own is 100.
const (
	// daemonPercent is that of the daemon. It has 1 MiB in use, and Go lets a heap grow to 4 MiB first, or as much less as
	// the percentage is: the daemon, where it is idle, is 1 MiB smaller for it.
	daemonPercent = 50
	// commandPercent is that of a command. One with nothing to do makes 3 MiB of garbage, and to collect it takes a tenth of
	// its time: a heap may then grow to 8 MiB before that.
	commandPercent = 200
	// largeSpec is from how many bytes on a spec is worth to save memory for in each command: some 20,000 servers. With Go's
	// own percentage a spec of 100,000 servers may take more than 300 MiB at its peak; below 80 it takes more time.
	largeSpec        = 1 << 20
	largeSpecPercent = 80
)

// savedTime is after which a command that still runs is no short one, and collects garbage as Go does.
const savedTime = 10 * time.Second

// SaveTime makes this process, which may end soon, collect garbage later than Go does, for its first ten seconds. Run and
// SaveMemory come after it.
func SaveTime() {
	collectAt(commandPercent)
	time.AfterFunc(savedTime, func() {
		if was := debug.SetGCPercent(100); was != commandPercent {
			debug.SetGCPercent(was)
		}
	})
}

// SaveMemory makes this process collect garbage earlier than Go does where its spec, of that many bytes, is large. A small
// one is read before there is any to collect.
func SaveMemory(spec int) {
	if spec >= largeSpec {
		collectAt(largeSpecPercent)
	}
}

// collectAt makes this process collect garbage at that percentage. GOGC in the environment counts before it.
func collectAt(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}
