package fake

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
)

// File returns the state of a file.
func (h *Host) File(ctx context.Context, path string) (host.File, error) {
	if err := h.look(ctx, "File"); err != nil {
		return host.File{}, err
	}
	f, exists := h.files[path]
	if !exists {
		return host.File{Path: path}, nil
	}
	f.Data = bytes.Clone(f.Data)
	return f, nil
}

// RootOnly says whether other users can change a file, or a directory of Shared on the way to it.
func (h *Host) RootOnly(ctx context.Context, path string) error {
	if err := h.look(ctx, "RootOnly"); err != nil {
		return err
	}
	f, exists := h.files[path]
	for _, dir := range h.Shared {
		if strings.HasPrefix(path, dir+"/") {
			return fmt.Errorf("others than root may write %s", dir)
		}
	}
	switch {
	case !exists:
		return fs.ErrNotExist
	case f.UID != 0 || f.Mode&0o022 != 0:
		return fmt.Errorf("others than root may write %s", path)
	}
	return nil
}

// WriteFile replaces a file. An unchanged file keeps its time.
func (h *Host) WriteFile(ctx context.Context, path string, data []byte, mode fs.FileMode, uid, gid int) error {
	return h.effect(ctx, "WriteFile", path, func() error {
		if !strings.HasPrefix(path, "/") {
			return fmt.Errorf("cannot write %s: no absolute path", path)
		}
		have, exists := h.files[path]
		if exists && bytes.Equal(have.Data, data) && have.Mode == mode && have.UID == uid && have.GID == gid {
			return nil
		}
		h.files[path] = host.File{Path: path, Exists: true, Data: bytes.Clone(data), Mode: mode, UID: uid, GID: gid, Changed: h.now()}
		return nil
	})
}

// RemoveFile removes a file.
func (h *Host) RemoveFile(ctx context.Context, path string) error {
	return h.effect(ctx, "RemoveFile", path, func() error {
		delete(h.files, path)
		return nil
	})
}

// RemoveTree removes a directory with its content.
func (h *Host) RemoveTree(ctx context.Context, path string) error {
	return h.effect(ctx, "RemoveTree", path, func() error {
		if memory := path + "/memory.json"; h.fault.count == h.fault.stopWithin && h.files[memory].Exists {
			delete(h.files, memory) // the worst file to lose first
			panic(Stopped{"RemoveTree " + path + ", half-way"})
		}
		maps.DeleteFunc(h.files, func(name string, _ host.File) bool {
			return name == path || strings.HasPrefix(name, strings.TrimSuffix(path, "/")+"/")
		})
		return nil
	})
}

// Put writes a file as the administrator or a package does.
func (h *Host) Put(path, data string, mode fs.FileMode) {
	h.ticks++
	h.files[path] = host.File{Path: path, Exists: true, Data: []byte(data), Mode: mode, Changed: h.now()}
}

// Text returns the content of a file; "" if it does not exist.
func (h *Host) Text(path string) string { return string(h.files[path].Data) }
