package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"rlb.dev/rlb-agent/reconcile/host/rootpath"
)

// textfile is a file for node_exporter's textfile collector.
type textfile struct {
	path       string // the file that was written, or ""
	lastLogged string // why it could not be written
}

// writeTextfile writes the file of the spec in force, and removes that of a former spec. It returns the time until the
// next write if nothing happens, or 0.
func (e *Exporter) writeTextfile(ctx context.Context) time.Duration {
	doc, path := e.current.spec(), ""
	if doc != nil {
		path = doc.Spec.Metrics.Textfile
	}
	if path != e.textfile.path {
		e.removeTextfile()
	}
	if path == "" {
		return 0
	}
	err := e.replaceFile(path, e.expose(ctx, false))
	if err == nil {
		e.textfile.path, e.textfile.lastLogged = path, ""
	} else if text := err.Error(); text != e.textfile.lastLogged {
		e.Log.Warn("metrics.textfile: " + text)
		e.textfile.lastLogged = text
	}
	return doc.Spec.Reconcile.Interval.D()
}

// removeTextfile removes the file, which would become outdated.
func (e *Exporter) removeTextfile() {
	path := e.textfile.path
	if path == "" {
		return
	}
	dir, err := e.paths.Directory(filepath.Dir(path))
	if err == nil {
		err = errors.Join(os.Remove(at(dir, filepath.Base(path))), dir.Close())
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.Log.Warn("cannot remove the metrics", "err", err)
	}
	e.textfile.path = ""
}

// replaceFile replaces a file atomically; everyone may read it. The collector reads only files that end in .prom, never
// the temporary one. The directory may belong to the user of node_exporter. It is held open, so that this user cannot
// redirect root's write.
func (e *Exporter) replaceFile(path string, data []byte) error {
	dir, err := e.paths.Directory(filepath.Dir(path))
	if others := (*rootpath.Error)(nil); errors.As(err, &others) {
		err = fmt.Errorf("%w; or choose a directory that only root may write, like /var/lib/rlb-metrics, and start node_exporter with --collector.textfile.directory=/var/lib/rlb-metrics", err)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer dir.Close() //nolint:errcheck // nothing was written to it
	if err := replaceIn(dir, filepath.Base(path), data); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, errno(err))
	}
	return nil
}

// at returns a path of a file in an open directory, which does not change if the directory is renamed or replaced
// (proc_pid_fd(5)).
func at(dir *os.File, name string) string { return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name) }

// textfileMode lets node_exporter read it.
const textfileMode = 0o644

func replaceIn(dir *os.File, name string, data []byte) error {
	file, err := renameio.NewPendingFile(at(dir, name), renameio.WithTempDir(at(dir, "")), renameio.WithStaticPermissions(textfileMode))
	if err != nil {
		return err
	}
	defer file.Cleanup() //nolint:errcheck // what failed before counts
	if _, err := file.Write(data); err != nil {
		return err
	}
	return file.CloseAtomicallyReplace()
}
