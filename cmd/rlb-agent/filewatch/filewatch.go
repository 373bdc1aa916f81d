// Package filewatch tells when files may have changed, also those that are not there yet or lie behind links.
package filewatch

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"rlb.dev/rlb-agent/reconcile/backoff"
	"rlb.dev/rlb-agent/reconcile/wake"
)

// Watch tells when files may have changed. It watches directories, since editors and ConfigMaps replace files, and
// all those that a path leads through, link targets too, since a directory may be replaced as well. Of a path that
// is not there yet it watches what is there of it.
type Watch struct {
	log     *slog.Logger
	changed func(path string) // told of each path that may have changed; must not wait

	mu    sync.Mutex
	paths []string
	again chan struct{} // there are other paths now
}

// New is a watch of no files yet. It calls changed with each path that may have changed; changed must not wait.
func New(log *slog.Logger, changed func(path string)) *Watch {
	return &Watch{log: log, changed: changed, again: make(chan struct{}, 1)}
}

// LookedUp is reported in place of a path where any of them may have changed before the watches were in place.
const LookedUp = "watched files"

// Set says what to watch. Once the watches are in place, LookedUp is reported.
func (w *Watch) Set(paths ...string) {
	paths = slices.Compact(slices.Sorted(slices.Values(paths)))
	w.mu.Lock()
	same := slices.Equal(w.paths, paths)
	w.paths = paths
	w.mu.Unlock()
	if same {
		return
	}
	wake.Up(w.again)
}

// Run watches until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	mounts := make(chan struct{}, 1)
	go watchMounts(ctx, mounts)
	retry := backoff.Backoff{First: time.Second, Most: 30 * time.Second, Quiet: time.Minute}
	lastLogged := ""
	for ctx.Err() == nil {
		err := w.round(ctx, mounts)
		if err == nil {
			lastLogged = ""
			continue
		}
		if err.Error() != lastLogged { // what is not seen at once is seen at the next look
			w.log.Warn("changes of files are seen late", "err", err)
		}
		lastLogged = err.Error()
		select {
		case <-ctx.Done():
		case <-w.again:
		case <-time.After(retry.Next()):
		}
	}
}

// round watches until the paths lead through other directories than at its start.
func (w *Watch) round(ctx context.Context, mounts <-chan struct{}) error {
	w.mu.Lock()
	paths := w.paths
	w.mu.Unlock()
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("cannot watch files: %w", err)
	}
	defer watcher.Close()
	trail := follow(paths)
	for _, dir := range trail.dirs() {
		if err := watcher.Add(dir); err != nil && trail.same(follow(paths)) {
			return fmt.Errorf("cannot watch %s: %w", dir, err)
		}
	}
	if !trail.same(follow(paths)) { // it moved under our feet
		return nil
	}
	w.changed(LookedUp)
	for {
		var event fsnotify.Event
		select {
		case <-ctx.Done():
			return nil
		case <-w.again:
			return nil
		case <-mounts:
		case <-watcher.Errors: // events were lost
			return nil
		case event = <-watcher.Events:
			for _, path := range trail.of(event.Name) {
				w.changed(path)
			}
			if len(trail.of(event.Name)) == 0 || event.Op&(fsnotify.Create|fsnotify.Remove|fsnotify.Rename) == 0 {
				continue
			}
		}
		if !trail.same(follow(paths)) {
			return nil
		}
	}
}

// trail is what looking up some paths passes through.
type trail struct {
	names map[string][]string // each place on the way, without links, and the paths that pass it
	nodes map[string]node     // each directory, and which one it is
}

type node struct{ dev, inode uint64 }

func (t trail) dirs() []string { return slices.Sorted(maps.Keys(t.nodes)) }

func (t trail) of(name string) []string { return t.names[name] }

func (t trail) same(other trail) bool {
	return maps.Equal(t.nodes, other.nodes) && maps.EqualFunc(t.names, other.names, slices.Equal)
}

// follow looks the paths up as the kernel does.
func follow(paths []string) trail {
	t := trail{map[string][]string{}, map[string]node{}}
	for _, path := range paths {
		t.add(path)
	}
	return t
}

func (t trail) add(path string) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return
	}
	at, rest, links := "/", split(abs), 0
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at)
			continue
		}
		info, err := os.Stat(at)
		if err != nil || !info.IsDir() {
			return
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			t.nodes[at] = node{uint64(stat.Dev), stat.Ino}
		}
		next := filepath.Join(at, name)
		if !slices.Contains(t.names[next], path) {
			t.names[next] = append(t.names[next], path)
		}
		target, err := os.Readlink(next)
		if err != nil { // no link, or nothing there
			at = next
			continue
		}
		if links++; links > maxLinks {
			return
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(split(target), rest...)
	}
}

// maxLinks is how many links a path may lead through, as in the kernel (path_resolution(7)).
const maxLinks = 40

func split(path string) []string { return strings.Split(strings.Trim(path, "/"), "/") }

// watchMounts tells of mounts that come and go: a directory does not tell that another one now lies over it.
// The kernel wakes who polls this file (proc(5), /proc/[pid]/mounts).
func watchMounts(ctx context.Context, changed chan<- struct{}) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { file.Close() })
	defer stop()
	conn, err := file.SyscallConn()
	if err != nil {
		return
	}
	for ctx.Err() == nil {
		woken := false
		err := conn.Read(func(uintptr) bool {
			defer func() { woken = true }()
			return woken
		})
		if err != nil {
			return
		}
		wake.Up(changed)
	}
}
