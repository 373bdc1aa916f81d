package debian

import (
	"os"
	"testing"

	"rlb.dev/rlb-agent/render"
)

// TestTrackable: a tracked file that has no directory yet is looked for beside the candidate, any other where it is.
func TestTrackable(t *testing.T) {
	want := "file " + render.FaultFile + "\n"
	if _, err := os.Stat("/run/rlb"); err != nil {
		want = "file /x/fault\n"
	}
	if got := string(trackable([]byte("file "+render.FaultFile+"\n"), "/x")); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
