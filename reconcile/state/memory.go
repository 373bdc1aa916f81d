package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// Memory holds what a look at the host does not show: what was on the host before the first run, what the agent added, and
// the facts of the last run for a boot whose network is not up yet.
type Memory struct {
	Version     int                `json:"version,omitempty"`     // format version of the file
	Generation  int                `json:"generation"`            // counts the specs that were brought into force
	Digest      string             `json:"digest"`                // of the last of them
	Generations []Generation       `json:"generations,omitempty"` // the kept ones; the last one is in force
	Facts       render.Facts       `json:"facts"`
	Files       map[string]Before  `json:"files"`               // every file that the agent ever wrote or changed
	Units       map[string]UnitWas `json:"units"`               // every unit that the agent ever changed
	Held        map[string]bool    `json:"held"`                // every package whose hold the agent ever set
	Installed   []string           `json:"installed,omitempty"` // packages that the agent installed, dependencies included
	Rules       []string           `json:"rules,omitempty"`     // rules of INPUT (IPv4) that the agent removed
	Input       []string           `json:"input,omitempty"`     // INPUT (IPv4) before the first of these rules was removed; it shows their positions

	Known  bool  `json:"-"` // the memory was read: the agent has changed this host
	Damage error `json:"-"` // why the copy was read; nil if the file itself was read
	Copied bool  `json:"-"` // the copy equals the file
}

// Before is the state of a file before the agent first wrote it.
type Before struct {
	Exists bool        `json:"exists"`
	Edited bool        `json:"edited,omitempty"` // the user's file, in which the agent changed lines; false: the whole file is the agent's
	Mode   fs.FileMode `json:"mode,omitempty"`
	UID    int         `json:"uid,omitempty"`
	GID    int         `json:"gid,omitempty"`
	Digest string      `json:"digest,omitempty"` // of the content
	Copy   string      `json:"copy,omitempty"`   // path of the kept content

	Written  bool    `json:"written,omitempty"`  // the agent has written the file since
	Packaged *Before `json:"packaged,omitempty"` // the file that a package installed there since; there was none before
}

// UnitWas is the state of a unit before the agent first changed it.
type UnitWas struct {
	Enabled bool `json:"enabled"`
	Active  bool `json:"active"`
	Masked  bool `json:"masked,omitempty"` // permanently, by the administrator
}

// ReadMemory reads the memory of earlier runs. On a host without a memory the result is empty and not Known, and there is
// no error.
func ReadMemory(ctx context.Context, o host.Observer) (Memory, error) {
	s, err := readDurable(ctx, o, MemoryFile, decodeMemory)
	if err != nil || !s.found {
		return NewMemory(), err
	}
	s.value.Known, s.value.Damage, s.value.Copied = true, s.damage, s.copied
	return s.value, nil
}

// NewMemory is the memory of a host that the agent never changed.
func NewMemory() Memory {
	return Memory{Files: map[string]Before{}, Units: map[string]UnitWas{}, Held: map[string]bool{}}
}

// ForgetMemory removes the memory and its copy: the agent has not changed this host. It writes an empty memory first, so
// that a crash on the way means the same.
func ForgetMemory(ctx context.Context, h host.Host) error {
	blank := NewMemory()
	if err := blank.Save(ctx, h); err != nil {
		return fmt.Errorf("cannot note that all is undone: %w", err)
	}
	return errors.Join(h.RemoveFile(ctx, copyOf(MemoryFile)), h.RemoveFile(ctx, MemoryFile))
}

// Rendered reports whether the agent made a file: render begins each file with the same words.
func Rendered(f host.File) bool { return render.IsRendered(f.Data) }

// KeepFile records the present state of a file, once. A file that the agent itself made before its memory was lost is not
// the original. The original is then the kept copy, if the copy still exists.
func (m *Memory) KeepFile(ctx context.Context, h host.Host, f host.File, edited bool) error {
	if _, kept := m.Files[f.Path]; kept {
		return nil
	}
	ours := Rendered(f)
	if ours {
		original, err := h.File(ctx, path.Join(BeforeDir, f.Path))
		if err != nil {
			return err
		}
		f.Exists, f.Data = original.Exists, original.Data
	}
	before, err := keepCopy(ctx, h, f, BeforeDir)
	if err != nil {
		return err
	}
	before.Edited, before.Written = edited, ours
	m.Files[f.Path] = before
	return m.Save(ctx, h)
}

// Writing records that the agent is about to write a file. A file that did not exist before the first run and exists now
// came with a package.
func (m *Memory) Writing(ctx context.Context, h host.Host, f host.File) error {
	before := m.Files[f.Path]
	if before.Written {
		return nil
	}
	if f.Exists && !before.Exists && !Rendered(f) {
		packaged, err := keepCopy(ctx, h, f, PackagedDir)
		if err != nil {
			return err
		}
		before.Packaged = &packaged
	}
	before.Written = true
	m.Files[f.Path] = before
	return m.Save(ctx, h)
}

// keepCopy keeps the content of a file under a directory of the agent. The copy is written before the memory that names it.
func keepCopy(ctx context.Context, h host.Host, f host.File, dir string) (Before, error) {
	if !f.Exists {
		return Before{}, nil
	}
	b := Before{Exists: true, Mode: f.Mode, UID: f.UID, GID: f.GID, Digest: host.Digest(f.Data), Copy: path.Join(dir, f.Path)}
	if err := h.WriteFile(ctx, b.Copy, f.Data, 0o600, 0, 0); err != nil {
		return Before{}, fmt.Errorf("cannot keep the original of %s: %w", f.Path, err)
	}
	return b, nil
}

// ConfigOf is the path of a unit's configuration in the last run.
func (m *Memory) ConfigOf(unit string) string {
	return map[string]string{host.HAProxyUnit: m.Facts.HAProxyConfig, host.KeepalivedUnit: m.Facts.KeepalivedConfig}[unit]
}

// Save writes the memory. The caller saves it before it changes what the memory describes.
func (m *Memory) Save(ctx context.Context, h host.Host) error {
	m.Version = version
	return writeDurable(ctx, h, MemoryFile, m)
}

// Brought records packages that the agent installed.
func (m *Memory) Brought(ctx context.Context, h host.Host, names []string) error {
	for _, name := range names {
		if !slices.Contains(m.Installed, name) {
			m.Installed = append(m.Installed, name)
		}
	}
	slices.Sort(m.Installed)
	return m.Save(ctx, h)
}

// Is reports whether f is still as b describes it. The content is compared by its digest.
func (b Before) Is(f host.File) bool {
	return host.Digest(f.Data) == b.Digest && f.Mode == b.Mode && f.UID == b.UID && f.GID == b.GID
}
