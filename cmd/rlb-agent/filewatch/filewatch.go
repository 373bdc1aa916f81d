// Package filewatch reports when files may have changed, including files that do not exist yet or are reached
// through links.
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

// Watch reports when files may have changed. It watches directories, because editors and ConfigMaps replace files.
// It watches all directories on the way to a file, those of link targets too, because a directory may be replaced
// as well. If a path does not exist, it watches the part that exists.
type Watch struct {
	log     *slog.Logger
	changed func(path string) // called with each path that may have changed; must not wait

	mu    sync.Mutex
	paths []string
	again chan struct{} // rings when the paths have changed
}

// New returns a watch without files. It calls changed with each path that may have changed; changed must not wait.
func New(log *slog.Logger, changed func(path string)) *Watch {
	return &Watch{log: log, changed: changed, again: make(chan struct{}, 1)}
}

// LookedUp is reported instead of a path when any file may have changed before the watches were in place.
const LookedUp = "watched files"

// Set sets the files to watch. Once the watches are in place, LookedUp is reported.
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
		if err.Error() != lastLogged { // changes are found at the next regular look
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
	select { // the call of Set that made these paths is done with this round
	case <-w.again:
	default:
	}
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
	if !trail.same(follow(paths)) { // changed while the watches were added
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
			event.Name = filepath.Clean(event.Name) // fsnotify writes "//spec.yaml" for a file in the root directory
			for _, path := range trail.of(event.Name) {
				w.changed(path)
			}
			if len(trail.of(event.Name)) == 0 || event.Op&(fsnotify.Create|fsnotify.Remove|fsnotify.Rename) == 0 {
				continue
			}
			if _, watched := trail.nodes[event.Name]; watched { // a directory made in its place can have the same inode number
				return nil
			}
		}
		if !trail.same(follow(paths)) {
			return nil
		}
	}
}

// trail is what the lookup of the paths passes through.
type trail struct {
	names map[string][]string // each name on the way, with links resolved, and the paths that pass it
	nodes map[string]node     // each directory, and its identity
}

type node struct{ dev, inode uint64 }

func (t trail) dirs() []string { return slices.Sorted(maps.Keys(t.nodes)) }

func (t trail) of(name string) []string { return t.names[name] }

func (t trail) same(other trail) bool {
	return maps.Equal(t.nodes, other.nodes) && maps.EqualFunc(t.names, other.names, slices.Equal)
}

// follow looks up the paths as the kernel does.
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
		if err != nil { // not a link, or does not exist
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

// maxLinks limits the links on the way to a file, as the kernel does (path_resolution(7)).
const maxLinks = 40

func split(path string) []string { return strings.Split(strings.Trim(path, "/"), "/") }

// watchMounts reports mounts and unmounts: a directory gets no event when another one is mounted over it. The
// kernel wakes a process that polls this file (proc(5), /proc/[pid]/mounts).
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
