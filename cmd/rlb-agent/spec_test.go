package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestTrusted checks every directory of the path, including link targets, and the file.
func TestTrusted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make files that only root may write")
	}
	// not below /tmp, where everyone may write
	dir, err := os.MkdirTemp("/root", "rlb-test-")
	if err != nil {
		t.Skipf("cannot make a directory below /root: %v", err)
	}
	defer os.RemoveAll(dir)
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"safe", "open"} {
		must(os.Mkdir(filepath.Join(dir, d), 0o755))
		must(os.WriteFile(filepath.Join(dir, d, "spec.yaml"), []byte("kind: Other\n"), 0o644))
	}
	must(os.Chmod(filepath.Join(dir, "open"), 0o777))
	must(os.Symlink("../safe/spec.yaml", filepath.Join(dir, "open", "link.yaml")))
	must(os.Symlink("../open/link.yaml", filepath.Join(dir, "safe", "through.yaml")))
	must(os.Symlink(filepath.Join(dir, "safe"), filepath.Join(dir, "open", "dir")))
	must(os.Symlink("open/dir", filepath.Join(dir, "there")))
	must(os.Symlink("spec.yaml", filepath.Join(dir, "safe", "link.yaml")))
	must(os.Symlink("loop", filepath.Join(dir, "loop")))
	must(os.WriteFile(filepath.Join(dir, "safe", "group.yaml"), nil, 0o644))
	must(os.Chmod(filepath.Join(dir, "safe", "group.yaml"), 0o664))
	must(os.WriteFile(filepath.Join(dir, "safe", "theirs.yaml"), nil, 0o644))
	must(os.Chown(filepath.Join(dir, "safe", "theirs.yaml"), 1000, 1000))

	for path, want := range map[string]string{
		"safe/spec.yaml":    "kind",
		"safe/link.yaml":    "kind",
		"open/spec.yaml":    "cannot trust the spec " + dir + "/open/spec.yaml: others than root may write " + dir + "/open",
		"open/link.yaml":    "others than root may write " + dir + "/open",
		"safe/through.yaml": "others than root may write " + dir + "/open",
		"there/spec.yaml":   "others than root may write " + dir + "/open",
		"safe/group.yaml":   "others than root may write " + dir + "/safe/group.yaml",
		"safe/theirs.yaml":  "belongs to user 1000",
		"safe/absent.yaml":  "no such file or directory; rlb-agent init writes a first one",
		"loop":              "too many levels",
	} {
		_, err := trusted(filepath.Join(dir, path))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}

	// a file that is too large is not read completely
	large := filepath.Join(dir, "safe", "large.yaml")
	must(os.WriteFile(large, nil, 0o644))
	must(os.Truncate(large, 256<<20))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = trusted(large)
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "must be at most 8388608 bytes") {
		t.Errorf("%s: %v", large, err)
	}
	if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 128 {
		t.Errorf("%s took %d MiB", large, took)
	}
}
