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
		{"100", func() { collectAt(daemonPercent) }, 100},
		{"100", SaveTime, 100},
	} {
		t.Setenv("GOGC", tt.gogc)
		debug.SetGCPercent(100)
		tt.set()
		if got := debug.SetGCPercent(100); got != tt.want {
			t.Errorf("GOGC=%q: collects at %d percent, want %d", tt.gogc, got, tt.want)
		}
	}
}

func TestSaveMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	for _, tt := range []struct {
		environment string
		want        int64
	}{
		{"", memoryOfRest + 1000*memoryOfSpec},
		{"1GiB", before},
	} {
		t.Setenv("GOMEMLIMIT", tt.environment)
		debug.SetMemoryLimit(before)
		SaveMemory(1000)
		if got := debug.SetMemoryLimit(-1); got != tt.want {
			t.Errorf("GOMEMLIMIT=%q: the limit is %d, want %d", tt.environment, got, tt.want)
		}
	}
}
