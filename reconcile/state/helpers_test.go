package state_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"testing"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/state"
)

// disk is a host on which a directory may be at the path of a file.
type disk struct {
	*fake.Host
	dirs    map[string]bool
	unasked error // why nobody can be asked on the link
}

func newDisk() *disk { return &disk{Host: fake.New(), dirs: map[string]bool{}} }

func (d *disk) Neighbours(ctx context.Context, iface string, addrs []netip.Addr) (map[netip.Addr]string, error) {
	if d.unasked != nil {
		return nil, d.unasked
	}
	return d.Host.Neighbours(ctx, iface, addrs)
}

func (d *disk) File(ctx context.Context, path string) (host.File, error) {
	if d.dirs[path] {
		return host.File{}, fmt.Errorf("cannot read %s: not a regular file", path)
	}
	return d.Host.File(ctx, path)
}

func (d *disk) WriteFile(ctx context.Context, path string, data []byte, mode fs.FileMode, uid, gid int) error {
	if d.dirs[path] {
		return fmt.Errorf("cannot write %s: is a directory", path)
	}
	return d.Host.WriteFile(ctx, path, data, mode, uid, gid)
}

func (d *disk) RemoveTree(ctx context.Context, path string) error {
	delete(d.dirs, path)
	return d.Host.RemoveTree(ctx, path)
}

// spoils are ways to spoil a file, by name.
var spoils = map[string]func(d *disk, path string){
	"empty":           func(d *disk, path string) { d.Put(path, "", 0o600) },
	"torn":            func(d *disk, path string) { d.Put(path, d.Text(path)[:len(d.Text(path))/2], 0o600) },
	"garbled":         func(d *disk, path string) { d.Put(path, "\x00\xff{{", 0o600) },
	"of another form": func(d *disk, path string) { d.Put(path, "[1]", 0o600) },
	"a directory":     func(d *disk, path string) { d.dirs[path] = true },
	"of wrong types": func(d *disk, path string) {
		d.Put(path, `{"kind": 5, "digest": {}, "fault": 7, "found": "x", "role": [], "identities": 1, "haproxy.service": 1, "deadline": 1, "files": 1, "began": 1}`, 0o600)
	},
}

// logTo is a log that a test can read.
func logTo(b *bytes.Buffer) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// aMemory is a memory with an entry of each kind.
func aMemory(t *testing.T, h host.Host) state.Memory {
	t.Helper()
	m := state.NewMemory()
	f := host.File{Path: "/etc/rc.local", Exists: true, Data: []byte("exit 0\n"), Mode: 0o755}
	if err := m.KeepFile(t.Context(), h, f, true); err != nil {
		t.Fatal(err)
	}
	m.Units["haproxy.service"] = state.UnitWas{Active: true}
	m.Held["haproxy"] = false
	m.Rules = []string{"-A INPUT -p tcp -m tcp --dport 9000 -j ACCEPT"}
	if err := m.Brought(t.Context(), h, []string{"haproxy", "liblua5.3-0"}); err != nil {
		t.Fatal(err)
	}
	return m
}
