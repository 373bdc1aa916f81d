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

// Memory is what a look at the host does not tell: what was there before the first run, what the agent brought, and
// the facts of the last run for a boot whose network is not up yet.
type Memory struct {
	Version     int                `json:"version,omitempty"`     // of the file's form
	Generation  int                `json:"generation"`            // counts the specs that were brought into force
	Digest      string             `json:"digest"`                // of the last of them
	Generations []Generation       `json:"generations,omitempty"` // those that are kept, the last one in force
	Facts       render.Facts       `json:"facts"`
	Files       map[string]Before  `json:"files"`               // every file that the agent ever wrote or changed
	Units       map[string]UnitWas `json:"units"`               // every unit that the agent ever changed
	Held        map[string]bool    `json:"held"`                // every package whose hold the agent ever set
	Installed   []string           `json:"installed,omitempty"` // packages that the agent brought, dependencies included
	Rules       []string           `json:"rules,omitempty"`     // rules of INPUT (IPv4) that the agent took away
	Input       []string           `json:"input,omitempty"`     // INPUT (IPv4) before the first of them went, for their places

	Known  bool  `json:"-"` // it was read: the agent has changed this host
	Damage error `json:"-"` // why it was read from its copy; nil where it was not
	Copied bool  `json:"-"` // the copy is like it
}

// Before is a file as it was before the agent wrote it for the first time.
type Before struct {
	Exists bool        `json:"exists"`
	Edited bool        `json:"edited,omitempty"` // the user's file, in which the agent changed lines; else the agent's whole
	Mode   fs.FileMode `json:"mode,omitempty"`
	UID    int         `json:"uid,omitempty"`
	GID    int         `json:"gid,omitempty"`
	Digest string      `json:"digest,omitempty"` // of the content
	Copy   string      `json:"copy,omitempty"`   // where the content lies

	Written  bool    `json:"written,omitempty"`  // the agent has written the file since
	Packaged *Before `json:"packaged,omitempty"` // what a package that came since put there, where there was none before
}

// UnitWas is a unit as it was before the agent changed it for the first time.
type UnitWas struct {
	Enabled bool `json:"enabled"`
	Active  bool `json:"active"`
	Masked  bool `json:"masked,omitempty"` // for good, by its administrator
}

// ReadMemory reads what earlier runs remembered. On a host without it is empty, not Known, and no error.
func ReadMemory(ctx context.Context, o host.Observer) (Memory, error) {
	s, err := readDurable(ctx, o, MemoryFile, decodeMemory)
	if err != nil || !s.found {
		return NewMemory(), err
	}
	s.value.Known, s.value.Damage, s.value.Copied = true, s.damage, s.copied
	return s.value, nil
}

// NewMemory is that of a host which the agent never changed.
func NewMemory() Memory {
	return Memory{Files: map[string]Before{}, Units: map[string]UnitWas{}, Held: map[string]bool{}}
}

// ForgetMemory removes the memory and its copy: the agent has not changed this host. A memory that is cut off on the way
// says so too.
func ForgetMemory(ctx context.Context, h host.Host) error {
	blank := NewMemory()
	if err := blank.Save(ctx, h); err != nil {
		return fmt.Errorf("cannot note that all is undone: %w", err)
	}
	return errors.Join(h.RemoveFile(ctx, copyOf(MemoryFile)), h.RemoveFile(ctx, MemoryFile))
}

// Rendered says whether the agent made a file: render begins each with these words.
func Rendered(f host.File) bool { return render.IsRendered(f.Data) }

// KeepFile remembers a file as it is now, once. One that the agent made itself, and forgot when its memory was lost, is
// nobody's original: that is the copy, if it is still there.
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

// Writing remembers that the agent is about to write a file. What is there by now, and was not before the first run,
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

// keepCopy keeps the content of a file under a directory of the agent's. The copy comes before the memory of it.
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

// ConfigOf is where a unit's configuration lay in the last run.
func (m *Memory) ConfigOf(unit string) string {
	return map[string]string{host.HAProxyUnit: m.Facts.HAProxyConfig, host.KeepalivedUnit: m.Facts.KeepalivedConfig}[unit]
}

// Save writes the memory. It comes before what the memory tells of is done.
func (m *Memory) Save(ctx context.Context, h host.Host) error {
	m.Version = version
	return writeDurable(ctx, h, MemoryFile, m)
}

// Brought remembers packages that the agent installed.
func (m *Memory) Brought(ctx context.Context, h host.Host, names []string) error {
	for _, name := range names {
		if !slices.Contains(m.Installed, name) {
			m.Installed = append(m.Installed, name)
		}
	}
	slices.Sort(m.Installed)
	return m.Save(ctx, h)
}

// Is says whether a file is as it was. Its content is known by its digest.
func (b Before) Is(f host.File) bool {
	return host.Digest(f.Data) == b.Digest && f.Mode == b.Mode && f.UID == b.UID && f.GID == b.GID
}
