package rootpath

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tree makes a directory with root's files, files that others can write, and links of all kinds.
func tree(t *testing.T) (Walker, string) {
	t.Helper()
	top, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	for _, dir := range []string{"safe/sub", "open/below"} {
		must(t, os.MkdirAll(filepath.Join(top, dir), 0o755))
	}
	for _, file := range []string{"safe/file", "open/file", "open/below/file", "safe/group"} {
		must(t, os.WriteFile(filepath.Join(top, file), []byte(file), 0o644))
	}
	must(t, os.Chmod(filepath.Join(top, "open"), 0o777|os.ModeSticky))
	must(t, os.Chmod(filepath.Join(top, "safe/group"), 0o664))
	for link, target := range map[string]string{
		"open/link":       "../safe/file",     // a link in a directory that others can write
		"safe/through":    "../open/link",     // to such a link
		"open/dir":        top + "/safe/sub",  // for "..": only the link's own directory shows that others can replace the link
		"there":           "open/dir",         // to that link
		"safe/link":       "file",             // a safe link
		"safe/absolute":   top + "/safe/link", // two safe links
		"safe/up":         "../safe/sub",      // a safe link to a directory
		"loop":            "loop",
		"safe/dangling":   "new",
		"safe/..data":     "sub", // as in a ConfigMap
		"safe/config":     "..data/../file",
		"safe/over-there": "../open/below",
	} {
		must(t, os.Symlink(target, filepath.Join(top, link)))
	}
	return Within(top), top
}

func TestWalker(t *testing.T) {
	w, top := tree(t)
	const shared = "others than root may write TOP/open (move the file to a directory that only root may write)"
	for path, want := range map[string]struct{ resolved, write, read string }{
		"safe/file":               {"safe/file", "", ""},
		"safe/link":               {"safe/file", "", ""},
		"safe/absolute":           {"safe/file", "", ""},
		"safe/up/../file":         {"safe/file", "", ""}, // the parent of the link's target
		"safe/config":             {"safe/file", "", ""},
		"safe/./sub//../file":     {"safe/file", "", ""},
		"safe/dangling":           {"safe/new", "", "no such file"},
		"safe/new/dir/file":       {"safe/new/dir/file", "", "no such file"},
		"safe/group":              {"safe/group", "", "others than root may write TOP/safe/group (chmod go-w TOP/safe/group)"},
		"open/file":               {"", shared, shared},
		"open/new":                {"", shared, shared},
		"open/link":               {"", shared, shared},
		"open/below/file":         {"", shared, shared},
		"safe/through":            {"", shared, shared},
		"safe/over-there/file":    {"", shared, shared},
		"there/../file":           {"", shared, shared}, // as a text it is TOP/file, which no other user can write
		"open/dir/../file":        {"", shared, shared},
		"open/../safe/file":       {"", shared, shared},
		"loop":                    {"", "too many levels", "too many levels"},
		"safe/file/below":         {"", "not a directory", "not a directory"},
		"safe/nothing/../../file": {"", "no such file", "no such file"},
	} {
		path := filepath.Join(top, "x")[:len(top)+1] + path // not cleaned
		matches := func(err error, words string) bool {
			words = strings.ReplaceAll(words, "TOP", top)
			return words == "" && err == nil || words != "" && err != nil && strings.Contains(err.Error(), words)
		}
		resolved, err := w.Resolve(path)
		if !matches(err, want.write) || err == nil && resolved != filepath.Join(top, want.resolved) {
			t.Errorf("%s: %q, %v, want %q", path, resolved, err, want)
		}
		if err := w.Check(path); !matches(err, want.read) {
			t.Errorf("%s: checked: %v, want %q", path, err, want.read)
		}
		file, err := w.Open(path)
		if !matches(err, want.read) {
			t.Errorf("%s: opened: %v, want %q", path, err, want.read)
		}
		if err == nil {
			if data, err := io.ReadAll(file); err != nil || string(data) != want.resolved {
				t.Errorf("%s: read %q, %v", path, data, err)
			}
			must(t, file.Close())
		}
	}
}

// TestDirectory: the directory can belong to any user, the path to it only to root.
func TestDirectory(t *testing.T) {
	w, top := tree(t)
	for path, want := range map[string]string{
		"safe/sub": "safe/sub", "safe/up": "safe/sub", "safe/up/..": "safe", "safe/./sub/": "safe/sub", "open": "open",
		"open/below": "others than root may write TOP/open", "there": "others than root may write TOP/open", "safe/over-there": "others than root may write TOP/open",
		"safe/file": "not a directory", "safe/link": "not a directory", "safe/new": "no such file", "loop": "too many levels",
	} {
		dir, err := w.Directory(top + "/" + path)
		if err != nil {
			if !strings.Contains(err.Error(), strings.ReplaceAll(want, "TOP", top)) {
				t.Errorf("%s: %v, want %s", path, err, want)
			}
			continue
		}
		got, err := dir.Stat()
		must(t, err)
		should, err := os.Stat(filepath.Join(top, want))
		if err != nil || !os.SameFile(got, should) {
			t.Errorf("%s is %s: %v", path, dir.Name(), err)
		}
		must(t, dir.Close())
	}
}

// TestOthersOwn: files, directories and links of another user are rejected.
func TestOthersOwn(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	w, top := tree(t)
	for _, path := range []string{"safe/link", "safe/file", "safe/sub"} {
		must(t, os.Lchown(filepath.Join(top, path), 65534, 65534))
		var untrusted *Error
		if err := w.Check(filepath.Join(top, path)); !errors.As(err, &untrusted) || !strings.Contains(err.Error(), top+"/"+path+" belongs to user 65534") {
			t.Errorf("%s: %v", path, err)
		}
		must(t, os.Lchown(filepath.Join(top, path), 0, 0))
	}
}

// TestSwappedLink: while a user replaces his directory by a link to root's and back, root's files are not reached through
// it.
func TestSwappedLink(t *testing.T) {
	w, top := tree(t)
	swapped, aside := filepath.Join(top, "open/swapped"), filepath.Join(top, "open/aside")
	must(t, os.Mkdir(swapped, 0o755))
	must(t, os.Symlink(filepath.Join(top, "safe"), aside))
	stop := make(chan struct{})
	var swapping sync.WaitGroup
	swapping.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.Rename(swapped, swapped+".1") // one of the two exists at any time, or neither
			_ = os.Rename(aside, swapped)
			_ = os.Rename(swapped, aside)
			_ = os.Rename(swapped+".1", swapped)
		}
	})
	for range 2000 {
		if file, err := w.Open(filepath.Join(swapped, "file")); err == nil {
			t.Error("a file of root's was reached through a directory of others")
			must(t, file.Close())
		}
	}
	close(stop)
	swapping.Wait()
}

// TestRootLooksFromTheTop: the zero Walker checks every directory from "/" on.
func TestRootLooksFromTheTop(t *testing.T) {
	if err := (Walker{}).Check("/tmp"); err == nil || !strings.Contains(err.Error(), "/tmp") {
		t.Errorf("/tmp: %v", err)
	}
	if err := (Walker{}).Check("/usr/bin/env"); err != nil {
		t.Error(err)
	}
}
