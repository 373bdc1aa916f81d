package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
)

// textfile is a file for node_exporter's textfile collector.
type textfile struct {
	log        *slog.Logger
	path       string // that was written, or ""
	lastLogged string // why it could not be
}

// writeTextfile writes the file of the spec in force, and removes one of a former spec. It says when to write it
// again if nothing happens, or 0.
func (e *Exporter) writeTextfile(ctx context.Context) time.Duration {
	doc, path := e.current.spec(), ""
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
		e.textfile.path, e.textfile.lastLogged = path, ""
	} else if text := err.Error(); text != e.textfile.lastLogged {
		e.Log.Warn("metrics.textfile: " + text)
		e.textfile.lastLogged = text
	}
	return doc.Spec.Reconcile.Interval.D()
}

// remove removes what was written: nobody keeps it true any more.
func (t *textfile) remove() {
	if t.path == "" {
		return
	}
	dir, err := openDirectory(filepath.Dir(t.path))
	if err == nil {
		err = errors.Join(dir.remove(filepath.Base(t.path)), dir.Close())
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.log.Warn("cannot remove the metrics", "err", err)
	}
	t.path = ""
}

// replaceFile replaces a file at once, for all to read. The collector reads files that end in .prom only, never the
// temporary one.
func replaceFile(path string, data []byte) error {
	dir, err := openDirectory(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer dir.Close() //nolint:errcheck // nothing was written to it
	if err := dir.replace(filepath.Base(path), data); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, errno(err))
	}
	return nil
}

// textfileMode lets node_exporter read it.
const textfileMode = 0o644

func (d *directory) replace(name string, data []byte) error {
	file, err := renameio.NewPendingFile(d.at(name), renameio.WithTempDir(d.at("")), renameio.WithStaticPermissions(textfileMode))
	if err != nil {
		return err
	}
	defer file.Cleanup() //nolint:errcheck // what failed before counts
	if _, err := file.Write(data); err != nil {
		return err
	}
	return file.CloseAtomicallyReplace()
}
