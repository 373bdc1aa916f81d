package debian

import (
	"os"
	"path/filepath"
	"testing"
)

// TestChildren: children parses /proc correctly, whatever a program's name is.
func TestChildren(t *testing.T) {
	h := &Host{proc: t.TempDir()}
	for pid, stat := range map[string]string{
		"10": "10 (haproxy) S 1 10 10", "11": "11 (a) b) S 10 10 10", "12": "12 (haproxy) R 10 10 10", "13": "13 (x) S 11 1 1", "14": "garbage",
	} {
		if err := os.MkdirAll(filepath.Join(h.proc, pid), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(h.proc, pid, "stat"), []byte(stat+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := h.children(10)
	if err != nil || len(got) != 2 || got[0] != 11 || got[1] != 12 {
		t.Errorf("%v %v", got, err)
	}
}

// TestAnyRuns: a stopped or sleeping process is not running, whatever its name; a process with a thread that waits for a
// core is running.
func TestAnyRuns(t *testing.T) {
	h := &Host{proc: t.TempDir()}
	for _, task := range []struct{ pid, tid, stat string }{
		{"10", "10", "10 (R R) S 1"}, {"11", "11", "11 (haproxy) T 10"}, {"12", "12", "12 (haproxy) S 10"}, {"12", "13", "13 (haproxy) R 10"},
	} {
		dir := filepath.Join(h.proc, task.pid, "task", task.tid)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(task.stat+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if h.anyIn("R", 10, 11, 99) || !h.anyIn("R", 10, 12) {
		t.Error("wrong")
	}
}

// TestIdleThreads: a process that runs, waits for a core, or waits for a disk, is not idle.
func TestIdleThreads(t *testing.T) {
	h := &Host{proc: t.TempDir()}
	for pid, state := range map[string]string{"10": "S", "11": "T", "12": "R", "13": "D"} {
		dir := filepath.Join(h.proc, pid, "task", pid)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(pid+" (haproxy) "+state+" 1\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for pid, busy := range map[int]bool{10: false, 11: false, 12: true, 13: true, 99: false} {
		if h.anyIn("RD", pid) != busy {
			t.Errorf("%d: busy %t", pid, !busy)
		}
	}
}
