package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"rlb.dev/rlb-agent/api"
)

// readSpec reads and parses the spec; "-" is standard input.
func (a *app) readSpec(path string) (*api.Document, error) {
	from := a.stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, specError{fmt.Errorf("cannot read the spec: %w", err)}
		}
		defer file.Close()
		from = file
	}
	data, err := api.ReadAll(from)
	if err != nil {
		return nil, specError{fmt.Errorf("cannot read the spec: %w", err)}
	}
	return api.Parse(path, data)
}

// trustedSpec is readSpec for a run that acts on the file as root: it refuses a file that others may write.
func (a *app) trustedSpec() (*api.Document, error) {
	if a.spec == "-" {
		return nil, usageError{errors.New("cannot apply a spec from standard input: give a file with --spec")}
	}
	if err := rootOnly(a.spec); err != nil {
		return nil, specError{err}
	}
	return a.readSpec(a.spec)
}

// warnUntrusted says what an applying run would refuse.
func (a *app) warnUntrusted(path string) {
	if path == "-" {
		return
	}
	if err := rootOnly(path); err != nil {
		a.log.Warn(err.Error() + "; applying will refuse it")
	}
}

// maxLinks is how many links a path may lead through, as in the kernel (path_resolution(7)).
const maxLinks = 40

// rootOnly sees that nobody but root may write the file, or a directory or link that the path leads through.
func rootOnly(path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("cannot read the spec: %w", err)
	}
	rest := strings.Split(strings.Trim(abs, "/"), "/")
	at := "/"
	for links := 0; ; {
		if err := writableByRootOnly(at); err != nil {
			return fmt.Errorf("cannot trust the spec %s: %w", path, err)
		}
		if len(rest) == 0 {
			return nil
		}
		next := filepath.Join(at, rest[0])
		rest = rest[1:]
		info, err := os.Lstat(next)
		if err != nil {
			return fmt.Errorf("cannot read the spec: %w", err)
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		// A link is as safe as the directory that it lies in, which was looked at. Where it leads is looked at next.
		target, err := os.Readlink(next)
		if links++; err != nil || links > maxLinks {
			return fmt.Errorf("cannot read the spec: %s is a link that leads nowhere", next)
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(strings.Trim(filepath.Clean(target), "/"), "/"), rest...)
	}
}

func writableByRootOnly(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return fmt.Errorf("cannot tell the owner of %s", path)
	case stat.Uid != 0:
		return fmt.Errorf("%s belongs to user %d, not to root (chown root %s)", path, stat.Uid, path)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others than root may write %s (chmod go-w %s)", path, path)
	}
	return nil
}
