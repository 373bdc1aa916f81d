package apt

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestSilenceIsReported: apt and dpkg may take any time, but their silence is reported.
func TestSilenceIsReported(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "apt.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		time.AfterFunc(150*time.Second, func() { close(ended) })
		var told []string
		(&logTail{file: file}).follow(ended, "install haproxy", func(line string) { told = append(told, line) })
		if want := []string{"still waiting after 1m0s: install haproxy", "still waiting after 2m0s: install haproxy"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}
