package debian

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// TestReplaced lists for each case the program files of the processes, the main process first.
func TestReplaced(t *testing.T) {
	const now, former = "/usr/sbin/haproxy", "/usr/sbin/haproxy (deleted)"
	for name, test := range map[string]struct {
		programs []string
		want     bool
	}{
		"started since":                  {[]string{now, now}, false},
		"reloaded, one finishes":         {[]string{now, former, now}, false},
		"reload failed":                  {[]string{now, former, former}, true},
		"not reloaded":                   {[]string{former, former}, true},
		"no worker":                      {[]string{now}, false},
		"one that may not be looked at":  {[]string{now, ""}, false},
		"main one may not be looked at":  {[]string{"", now}, false},
		"a path that only ends like one": {[]string{"/usr/sbin/haproxy(deleted)", now}, false},
	} {
		h, _ := newFake(t)
		children := ""
		for i, program := range test.programs {
			pid := strconv.Itoa(100 + i)
			if err := os.MkdirAll(filepath.Join(h.proc, pid, "task", pid), 0o755); err != nil {
				t.Fatal(err)
			}
			if program != "" {
				if err := os.Symlink(program, filepath.Join(h.proc, pid, "exe")); err != nil {
					t.Fatal(err)
				}
			}
			if i > 0 {
				children += pid + " "
			}
		}
		if err := os.WriteFile(filepath.Join(h.proc, "100/task/100/children"), []byte(children), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := h.replaced(100); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	if new(Host).replaced(0) {
		t.Error("no process at all")
	}
}
