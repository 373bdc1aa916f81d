package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// textfile is a file for node_exporter's textfile collector.
type textfile struct {
	log  *slog.Logger
	path string // that was written, or ""
	told string // why it could not be, said once
}

// leaveTextfile writes the file of the spec in force, and takes one of a former spec away. It says when to write it
// again if nothing happens, or 0.
func (e *endpoints) leaveTextfile(ctx context.Context) time.Duration {
	e.mutex.Lock()
	doc := e.doc
	e.mutex.Unlock()
	path := ""
	if doc != nil {
		path = doc.Spec.Metrics.Textfile
	}
	if path != e.textfile.path {
		e.textfile.remove()
	}
	if path == "" {
		return 0
	}
	err := replaceFile(path, e.expose(ctx, false))
	if err == nil {
		e.textfile.path, e.textfile.told = path, ""
	} else if text := err.Error(); text != e.textfile.told {
		e.log.Warn("metrics.textfile: " + text)
		e.textfile.told = text
	}
	return doc.Spec.Reconcile.Interval.D()
}

// remove takes away what was written: nobody keeps it true any more.
func (t *textfile) remove() {
	if t.path == "" {
		return
	}
	if err := os.Remove(t.path); err != nil && !os.IsNotExist(err) {
		t.log.Warn("cannot remove the metrics", "err", err)
	}
	t.path = ""
}

// replaceFile replaces a file at once, for all to read. It need not outlive a crash, so it is not brought to the disk
// each time. The collector reads files that end in .prom only, never the temporary one.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".rlb-agent-*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, errno(err))
	}
	defer os.Remove(f.Name()) // it is renamed away if all went well
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, errno(err))
	}
	return nil
}
