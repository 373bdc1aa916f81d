package plan

import (
	"context"
	"fmt"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

const (
	verbWrite = "write" // a rendered file
	verbEdit  = "edit"  // a file of the user
)

// writeFile replaces a whole rendered file.
func writeFile(to, from host.File, kind render.Kind) Step {
	s := replaceFile(to, from, false)
	s.Verb, s.Text = verbWrite, "write "+to.Path
	s.Serving = kind == render.HAProxyConfig || kind == render.KeepalivedConfig
	return s
}

// editFile changes lines in a file of the user.
func editFile(to, from host.File) Step {
	s := replaceFile(to, from, true)
	s.Verb, s.Text = verbEdit, "take the original's lines out of "+to.Path
	return s
}

func replaceFile(to, from host.File, edited bool) Step {
	return Step{
		Object: to.Path,
		diff:   func() string { return fileDiff(from, to) },
		Undo:   []Step{PutBack(from, nil)},
		Do: func(ctx context.Context, t *Tools) error {
			if err := t.Memory.KeepFile(ctx, t.Host, from, edited); err != nil {
				return err
			}
			if err := t.Memory.Writing(ctx, t.Host, from); err != nil {
				return err
			}
			return t.Host.WriteFile(ctx, to.Path, to.Data, to.Mode, to.UID, to.GID)
		},
	}
}

// PutBack restores the state of a file from before a step. before is restored in the memory, unless it is nil.
func PutBack(file host.File, before *state.Before) Step {
	return Step{Verb: "put back", Object: file.Path, Text: "put back " + file.Path, Do: func(ctx context.Context, t *Tools) error {
		if before != nil {
			t.Memory.Files[file.Path] = *before
			if err := t.Memory.Save(ctx, t.Host); err != nil {
				return err
			}
		}
		if !file.Exists {
			return t.Host.RemoveFile(ctx, file.Path)
		}
		return t.Host.WriteFile(ctx, file.Path, file.Data, file.Mode, file.UID, file.GID)
	}}
}

const verbRestore = "restore"

// restoreFile restores the state of a file from before the first run, because the spec no longer wants the file. With keep,
// the file stays in the memory: a teardown forgets all files at once.
func restoreFile(path string, before state.Before, from host.File, keep bool) Step {
	s := Step{Verb: verbRestore, Object: path, Text: "remove " + path, Serving: true, Undo: []Step{PutBack(from, &before)}}
	if before.Exists {
		s.Text = "restore the original " + path
	}
	s.Do = func(ctx context.Context, t *Tools) error {
		kept, err := original(ctx, t.Host, path, before)
		if err != nil {
			return err
		}
		if before.Exists {
			err = t.Host.WriteFile(ctx, path, kept.Data, before.Mode, before.UID, before.GID)
		} else {
			err = t.Host.RemoveFile(ctx, path)
		}
		if err != nil || keep {
			return err
		}
		delete(t.Memory.Files, path)
		return t.Memory.Save(ctx, t.Host)
	}
	return s
}

// repairMemory writes the memory and its copy again: one of the two was lost, or an older agent wrote no copy.
func repairMemory() Step {
	return Step{Verb: "repair", Object: state.MemoryFile, Text: "write " + state.MemoryFile + " and its copy again",
		Do: func(ctx context.Context, t *Tools) error { return t.Memory.Save(ctx, t.Host) }}
}

// original reads the kept content of a file from before the first run. The result does not exist if the file did not.
func original(ctx context.Context, o host.Observer, path string, before state.Before) (host.File, error) {
	if !before.Exists {
		return host.File{Path: path}, nil
	}
	kept, err := o.File(ctx, before.Copy)
	switch {
	case err != nil:
		return host.File{}, err
	case !kept.Exists:
		return host.File{}, fmt.Errorf("cannot restore %s: its original, %s, is gone", path, before.Copy)
	case host.Digest(kept.Data) != before.Digest:
		return host.File{}, fmt.Errorf("cannot restore %s: its original, %s, was changed", path, before.Copy)
	}
	return kept, nil
}
