package filewatch

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestFileWatch: every way to change a file is noticed, even if its directory does not exist at first.
func TestFileWatch(t *testing.T) {
	for _, tt := range []struct{ name, before, script, path string }{
		{"written over", "w spec.yaml", "w spec.yaml", "spec.yaml"},
		{"moved over", "w spec.yaml", "w new; mv new spec.yaml", "spec.yaml"},
		{"made", "", "w spec.yaml", "spec.yaml"},
		{"removed", "w spec.yaml", "rm spec.yaml", "spec.yaml"},
		{"mode changed", "w spec.yaml", "chmod spec.yaml", "spec.yaml"},
		{"directory made", "", "mkdir d; w d/spec.yaml", "d/spec.yaml"},
		{"directories made", "", "mkdir d; mkdir d/e; mkdir d/e/f; w d/e/f/spec.yaml", "d/e/f/spec.yaml"},
		{"directory made again", "mkdir d; w d/spec.yaml", "rm d; mkdir d; w d/spec.yaml", "d/spec.yaml"},
		{"directory moved over", "mkdir d; w d/spec.yaml; mkdir e; w e/spec.yaml", "mv d f; mv e d", "d/spec.yaml"},
		{"behind a link", "mkdir d; w d/spec.yaml; ln d/spec.yaml spec.yaml", "w d/spec.yaml", "spec.yaml"},
		{"link turned", "w a; w b; ln a spec.yaml", "ln b new; mv new spec.yaml", "spec.yaml"},
		{"ConfigMap", "mkdir v1; w v1/spec.yaml; ln v1 ..data; ln ..data/spec.yaml spec.yaml",
			"mkdir v2; w v2/spec.yaml; ln v2 ..data_tmp; mv ..data_tmp ..data; rm v1", "spec.yaml"},
		{"link to a directory made later", "ln d/spec.yaml spec.yaml", "mkdir d; w d/spec.yaml", "spec.yaml"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			change(t, dir, tt.before)
			seen := make(chan string, 1000)
			w := New(slog.New(slog.DiscardHandler), func(path string) { seen <- path })
			path := filepath.Join(dir, tt.path)
			w.Set(path)
			go w.Run(t.Context())
			await(t, seen, path) // the watch is in place

			last := len(strings.Split(tt.script, "; "))
			for i, one := range strings.Split(tt.script, "; ") {
				change(t, dir, one)
				if i == last-1 && !strings.HasPrefix(one, "rm v1") {
					await(t, seen, path)
				}
			}
			// the watch has moved to the new target of the path
			if _, err := os.Stat(path); err == nil {
				time.Sleep(50 * time.Millisecond)
				for len(seen) > 0 {
					<-seen
				}
				change(t, dir, "w "+tt.path)
				await(t, seen, path)
			}
		})
	}
}

// TestFileWatchInTheRootDirectory: a change of a name in the root directory is seen, at any depth of the file.
func TestFileWatchInTheRootDirectory(t *testing.T) {
	const top = "/tmp"
	info, err := os.Stat(top)
	if err != nil {
		t.Skip(err)
	}
	seen := make(chan string, 1000)
	w := New(slog.New(slog.DiscardHandler), func(path string) { seen <- path })
	w.Set(top)
	go w.Run(t.Context())
	await(t, seen, LookedUp)
	if err := os.Chmod(top, info.Mode()); err != nil { // an event without a change
		t.Skip(err)
	}
	await(t, seen, top)
}

// TestDirectoryMadeAgainAtOnce: a directory is removed and made again before the watch looks. On ext4 the new directory has
// often the inode number of the old one.
func TestDirectoryMadeAgainAtOnce(t *testing.T) {
	for _, script := range []string{"rm d; sleep; mkdir d", "mv d e; mv e d"} {
		dir := t.TempDir()
		change(t, dir, "mkdir d; w d/spec.yaml")
		seen, path := make(chan string, 1000), filepath.Join(dir, "d/spec.yaml")
		again := sync.OnceFunc(func() { change(t, dir, script) })
		w := New(slog.New(slog.DiscardHandler), func(what string) {
			if what == path {
				again()
			}
			seen <- what
		})
		w.Set(path)
		go w.Run(t.Context())
		await(t, seen, path)
		if time.Sleep(50 * time.Millisecond); len(seen) > 0 {
			t.Errorf("then it reports %s", <-seen)
		}
		change(t, dir, "chmod d/spec.yaml")
		for what := ""; what != LookedUp; {
			select {
			case what = <-seen:
			case <-time.After(time.Second):
				t.Fatalf("%s: the watch is not renewed", script)
			}
		}
		for time.Sleep(50 * time.Millisecond); len(seen) > 0; {
			<-seen
		}
		change(t, dir, "w d/spec.yaml")
		await(t, seen, path)
	}
}

func await(t *testing.T, seen <-chan string, path string) {
	t.Helper()
	select {
	case got := <-seen:
		if got != path && got != LookedUp {
			t.Fatalf("saw %s, want %s", got, path)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("not seen")
	}
}

// change runs simple file commands below dir.
func change(t *testing.T, dir, script string) {
	t.Helper()
	for one := range strings.SplitSeq(script, "; ") {
		words := append(strings.Fields(one), "", "", "")
		a, b := filepath.Join(dir, words[1]), filepath.Join(dir, words[2])
		var err error
		switch words[0] {
		case "w":
			err = os.WriteFile(a, []byte(time.Now().String()), 0o644)
		case "mkdir":
			err = os.Mkdir(a, 0o755)
		case "mv":
			err = os.Rename(a, b)
		case "rm":
			err = os.RemoveAll(a)
		case "ln":
			err = os.Symlink(words[1], b)
		case "chmod":
			err = os.Chmod(a, 0o600)
		case "sleep": // until the kernel has freed the inode of a removed directory that was watched
			time.Sleep(100 * time.Millisecond)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestFileWatchIgnoresOthers: changes of other files in the directory are not reported: editors keep
// files of their own beside the spec.
func TestFileWatchIgnoresOthers(t *testing.T) {
	dir := t.TempDir()
	seen := make(chan string, 1000)
	w := New(slog.New(slog.DiscardHandler), func(path string) { seen <- path })
	path := filepath.Join(dir, "spec.yaml")
	w.Set(path)
	go w.Run(t.Context())
	await(t, seen, path)
	change(t, dir, "w .spec.yaml.swp; w 4913; rm 4913; mkdir d; w d/spec.yaml")
	change(t, dir, "w spec.yaml")
	await(t, seen, path)
	time.Sleep(50 * time.Millisecond)
	if len(seen) > 2 {
		t.Errorf("%d more events for one write", len(seen))
	}
}
