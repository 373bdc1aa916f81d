package export

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// TestTextfile: the file for node_exporter is complete, readable by all users, without node_exporter's own metrics, and
// is removed when the agent ends.
func TestTextfile(t *testing.T) {
	s := newShown(t)
	dir := t.TempDir()
	first, second := filepath.Join(dir, "a.prom"), filepath.Join(dir, "b.prom")
	s.run("metrics: {textfile: " + first + "}\n")
	check := func(path string) {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o644 {
			t.Fatalf("%v, %v", info, err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := scraped(t, string(data)); got[`rlb_role{role="BACKUP"}`] != 1 || strings.Contains(string(data), "process_") {
			t.Errorf("%s", data)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("left behind: %v, %v", entries, err)
		}
	}
	check(first)
	s.run("metrics: {textfile: " + second + "}\n")
	check(second)
	if err := os.Remove(second); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(t.TempDir(), "precious"), second); err != nil { // the link is replaced, not followed
		t.Fatal(err)
	}
	if again := s.writeTextfile(t.Context()); again != time.Minute {
		t.Errorf("again after %v", again)
	}
	check(second)
	s.close()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	s.run("metrics: {textfile: " + dir + "/nosuch/c.prom}\n")
	s.follow(t.Context())
	if text := s.log.String(); strings.Count(text, "metrics.textfile: cannot write") != 1 {
		t.Errorf("said: %s", text)
	}
}

// TestTextfileInAForeignDirectory: node_exporter's directory may belong to another user, but this user cannot redirect
// root's write to another directory.
func TestTextfileInAForeignDirectory(t *testing.T) {
	s, parent := newShown(t), filepath.Join(t.TempDir(), "shared")
	foreign(t, parent)
	if err := s.replaceFile(filepath.Join(parent, "a.prom"), []byte("x")); err != nil {
		t.Error(err)
	}
	dir := filepath.Join(parent, "dir")
	if err := os.Symlink(t.TempDir(), dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "a.prom")
	if err := s.replaceFile(path, []byte("x")); err == nil || !strings.Contains(err.Error(), "others than root may write "+parent) ||
		!strings.Contains(err.Error(), "start node_exporter with --collector.textfile.directory=/var/lib/rlb-metrics") {
		t.Errorf("through a link: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the file is there")
	}
}

// TestTextfileLeavesTmpAlone: the temporary file is made beside the file, never in a shared directory.
func TestTextfileLeavesTmpAlone(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	watch, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	if err := watch.Add(tmp); err != nil {
		t.Fatal(err)
	}
	if err := newShown(t).replaceFile(filepath.Join(t.TempDir(), "a.prom"), []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tmp, "last"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if event := <-watch.Events; filepath.Base(event.Name) != "last" {
		t.Errorf("seen: %v", event)
	}
}
