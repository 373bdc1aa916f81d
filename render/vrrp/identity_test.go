package vrrp_test

import (
	"strings"
	"testing"

	"rlb.dev/rlb-agent/render/vrrp"
)

// TestIdentitiesAllocate: the lines of a file share the Replacer that splits them, because a file is read in each run.
func TestIdentitiesAllocate(t *testing.T) {
	file := []byte(strings.Repeat("# a comment\n", 1000))
	if n := testing.AllocsPerRun(10, func() { vrrp.Identities(file) }); n > 100 {
		t.Errorf("%v allocations for 1000 lines that say nothing", n)
	}
}
