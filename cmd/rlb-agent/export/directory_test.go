package export

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A directory is opened where the kernel would find it, if nobody else can change that.
func TestOpenDirectory(t *testing.T) {
	top := t.TempDir()
	for _, dir := range []string{"a/b", "other", "sticky/in"} {
		if err := os.MkdirAll(filepath.Join(top, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(top, "sticky"), 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	foreign(t, filepath.Join(top, "shared"))
	for name, target := range map[string]string{"relative": "a/b", "absolute": top + "/a/b", "up": "a/b/..", "chain": "absolute/../b", "loop": "loop",
		"into": "shared/x", "shared/x": top + "/a"} {
		if err := os.Symlink(target, filepath.Join(top, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(top, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"a/b": "a/b", "a/./b/": "a/b", "relative": "a/b", "absolute": "a/b", "up": "a", "relative/..": "a", "chain": "a/b", "sticky/in": "sticky/in",
		"shared": "shared", "sticky": "sticky",
	} {
		d, err := openDirectory(top + "/" + path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		got, err := os.Stat(d.at(""))
		if err != nil {
			t.Fatal(err)
		}
		if want, err := os.Stat(filepath.Join(top, want)); err != nil || !os.SameFile(got, want) {
			t.Errorf("%s is %s: %v", path, d.path, err)
		}
		if err := d.trusted(false); (err == nil) != (want != "shared" && want != "sticky") {
			t.Errorf("%s: trusted: %v", path, err)
		}
		d.Close()
	}
	for path, want := range map[string]string{"shared/x": "others than root may replace what is in " + top + "/shared", "into": "replace what is in " + top + "/shared",
		"loop": "too many levels of symbolic links", "file": "not a directory", "file/x": "not a directory", "nosuch/x": "nosuch: no such file or directory"} {
		d, err := openDirectory(top + "/" + path)
		if err == nil {
			d.Close()
			t.Errorf("%s was opened", path)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}

// Directories and links of other users are not followed.
func TestOpenDirectoryOfOthers(t *testing.T) {
	top := t.TempDir()
	theirs, link := filepath.Join(top, "theirs"), filepath.Join(top, "link")
	err := errors.Join(os.MkdirAll(theirs+"/in", 0o755), os.Symlink(theirs, link), os.Lchown(link, 65534, -1), os.Chown(theirs, 65534, -1))
	if errors.Is(err, syscall.EPERM) {
		t.Skip("only root gives files away")
	}
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"theirs/in": theirs + " belongs to user 65534", "link": "link " + link + " belongs to user 65534"} {
		d, err := openDirectory(top + "/" + path)
		if err == nil {
			d.Close()
			t.Errorf("%s was opened", path)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := listenAt("unix:" + theirs + "/web.sock"); err == nil || !strings.Contains(err.Error(), theirs+" belongs to user 65534") {
		t.Errorf("a socket there: %v", err)
	}
}
