package reconcile

import (
	"context"
	"fmt"

	"github.com/aymanbagabas/go-udiff"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// writeFile replaces a file as a whole.
type writeFile struct {
	to, from host.File
	kind     render.Kind
	edited   bool // the user's own file, in which lines change
}

func (s writeFile) String() string {
	if s.edited {
		return "take the original's lines out of " + s.to.Path
	}
	return "write " + s.to.Path
}

// Diff shows the content; a change of mode or owner alone is said in words.
func (s writeFile) Diff() string {
	if diff := unified(s.from, s.to); diff != "" {
		return diff
	}
	return fmt.Sprintf("%s: mode %04o, owner %d:%d become mode %04o, owner %d:%d\n",
		s.to.Path, s.from.Mode, s.from.UID, s.from.GID, s.to.Mode, s.to.UID, s.to.GID)
}

func (s writeFile) apply(ctx context.Context, t *tools) error {
	if err := t.memory.keepFile(ctx, t.host, s.from, s.edited); err != nil {
		return err
	}
	if err := t.memory.writing(ctx, t.host, s.from); err != nil {
		return err
	}
	return t.host.WriteFile(ctx, s.to.Path, s.to.Data, s.to.Mode, s.to.UID, s.to.GID)
}

func (s writeFile) undo() []Step { return []Step{putBack{file: s.from}} }

// putBack makes a file what it was before a step changed it.
type putBack struct {
	file   host.File
	before *Before // what is to be remembered of it again, or nil
}

func (s putBack) String() string { return "put back " + s.file.Path }
func (s putBack) Diff() string   { return "" }
func (s putBack) undo() []Step   { return nil }

func (s putBack) apply(ctx context.Context, t *tools) error {
	f := s.file
	if s.before != nil {
		t.memory.Files[f.Path] = *s.before
		if err := t.memory.save(ctx, t.host); err != nil {
			return err
		}
	}
	if !f.Exists {
		return t.host.RemoveFile(ctx, f.Path)
	}
	return t.host.WriteFile(ctx, f.Path, f.Data, f.Mode, f.UID, f.GID)
}

// restoreFile makes a file that the spec no longer wants what it was before the first run.
type restoreFile struct {
	path   string
	before Before
	from   host.File
	keep   bool // it stays in memory: a teardown forgets all at once
}

func (s restoreFile) String() string {
	if s.before.Exists {
		return "restore the original " + s.path
	}
	return "remove " + s.path
}

func (s restoreFile) Diff() string { return "" }
func (s restoreFile) undo() []Step { return []Step{putBack{s.from, &s.before}} }

func (s restoreFile) apply(ctx context.Context, t *tools) error {
	original, err := s.original(ctx, t.host)
	if err != nil {
		return err
	}
	if s.before.Exists {
		err = t.host.WriteFile(ctx, s.path, original.Data, s.before.Mode, s.before.UID, s.before.GID)
	} else {
		err = t.host.RemoveFile(ctx, s.path)
	}
	if err != nil || s.keep {
		return err
	}
	delete(t.memory.Files, s.path)
	return t.memory.save(ctx, t.host)
}

// original is the content that comes back, as it was kept; none where there was no file.
func (s restoreFile) original(ctx context.Context, o host.Observer) (host.File, error) {
	if !s.before.Exists {
		return host.File{Path: s.path}, nil
	}
	kept, err := o.File(ctx, s.before.Copy)
	switch {
	case err != nil:
		return host.File{}, err
	case !kept.Exists:
		return host.File{}, fmt.Errorf("cannot restore %s: its original, %s, is gone", s.path, s.before.Copy)
	case digest(kept.Data) != s.before.Digest:
		return host.File{}, fmt.Errorf("cannot restore %s: its original, %s, was changed", s.path, s.before.Copy)
	}
	return kept, nil
}

// unified is the difference between two states of a file, in the form of diff -u, or "" where the content is the same.
func unified(from, to host.File) string {
	name := from.Path
	if !from.Exists {
		name = "/dev/null"
	}
	return udiff.Unified(name, to.Path, string(from.Data), string(to.Data))
}
