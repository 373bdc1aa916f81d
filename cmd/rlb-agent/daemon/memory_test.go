package daemon

import (
	"runtime/debug"
	"testing"
)

func TestCollectAt(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	for _, tt := range []struct {
		gogc string
		set  func()
		want int
	}{
		{"", func() { collectAt(daemonPercent) }, daemonPercent},
		{"", SaveTime, commandPercent},
		{"", func() { SaveMemory(largeSpec - 1) }, 100},
		{"", func() { SaveTime(); SaveMemory(largeSpec) }, largeSpecPercent},
		{"", func() { SaveMemory(largeSpec) }, largeSpecPercent},
		{"100", func() { collectAt(daemonPercent) }, 100},
		{"100", SaveTime, 100},
		{"100", func() { SaveMemory(largeSpec) }, 100},
	} {
		t.Setenv("GOGC", tt.gogc)
		debug.SetGCPercent(100)
		tt.set()
		if got := debug.SetGCPercent(100); got != tt.want {
			t.Errorf("GOGC=%q: collects at %d percent, want %d", tt.gogc, got, tt.want)
		}
	}
}
