package daemon

import (
	"os"
	"runtime/debug"
)

const (
	// largeSpec is from how many bytes on a spec is worth to save memory for: some 20,000 servers.
	largeSpec = 1 << 20
	// gcPercent is how much garbage may lie around before it is collected, in percent of what is in use. With Go's own 100
	// a spec of 100,000 servers may take more than 300 MiB at its peak; below 80 it takes more time.
	gcPercent = 80
)

// SaveMemory makes this process collect garbage earlier than Go does where its spec, of that many bytes, is large. A small
// one is read before there is any to collect. GOGC in the environment counts before it.
func SaveMemory(spec int) {
	if spec >= largeSpec && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
