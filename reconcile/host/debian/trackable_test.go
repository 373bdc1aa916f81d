package debian

import (
	"os"
	"testing"

	"rlb.dev/rlb-agent/render"
)

// TestTrackable: a tracked file whose directory does not exist yet is redirected to the candidate's directory; any other
// path is kept.
func TestTrackable(t *testing.T) {
	want := "file " + render.FaultFile + "\n"
	if _, err := os.Stat("/run/rlb"); err != nil {
		want = "file /x/fault\n"
	}
	if got := string(trackable([]byte("file "+render.FaultFile+"\n"), "/x")); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
