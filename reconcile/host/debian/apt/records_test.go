package apt

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
	"rlb.dev/rlb-agent/reconcile/host/debian/program/recorded"
)

// From a Debian 12 with an additional architecture, except for the states that a healthy host does not have.
const statusFile = `Package: bash
Status: install ok installed
Architecture: amd64
Maintainer: Nobody <nobody@example.org>
Multi-Arch: foreign
Version: 5.2.15-2+b8
Description: GNU Bourne Again SHell
 The next line is part of a text.
 Package: haproxy

Package: haproxy
Status: hold ok installed
Architecture: amd64
Maintainer: Nobody <nobody@example.org>
Conffiles:
 /etc/haproxy/haproxy.cfg d1
Version: 2.6.12-1+deb12u4
Description: a package

Package: ipvsadm
Status: deinstall ok config-files
Architecture: amd64
Maintainer: Nobody <nobody@example.org>
Config-Version: 1:1.31-1
Version: 1:1.31-1
Description: a package

Package: iptables
Status: deinstall ok config-files
Maintainer: Nobody <nobody@example.org>
Architecture: i386
Multi-Arch: same
Version: 1.8.8-1
Description: a package

Package: iptables
Status: install ok installed
Maintainer: Nobody <nobody@example.org>
Architecture: amd64
Multi-Arch: same
Version: 1.8.9-2
Description: a package

Package: keepalived
Status: install ok half-configured
Architecture: amd64
Maintainer: Nobody <nobody@example.org>
Version: 1:2.2.7-1+b2
Description: a package

Package: nftables
Status: install reinstreq installed
Architecture: amd64
Maintainer: Nobody <nobody@example.org>
Version: 1.0.6-2+deb12u2
Description: a package
`

// TestPackagesFromTheRecords: dpkg's file gives the same result as dpkg-query, without running it.
func TestPackagesFromTheRecords(t *testing.T) {
	h, f := newManager(t)
	h.dpkg = dpkgWith(t, statusFile)
	names := []string{"haproxy", "nosuch", "keepalived", "ipvsadm", "nftables", "bash", "iptables", "proxy"}
	got, err := h.Packages(t.Context(), names...)
	want := []host.Package{
		{Name: "haproxy", Present: true, Version: "2.6.12-1+deb12u4", Held: true},
		{Name: "nosuch"},
		{Name: "keepalived", Present: true, Version: "1:2.2.7-1+b2", Broken: true},
		{Name: "ipvsadm", Present: true},
		{Name: "nftables", Present: true, Version: "1.0.6-2+deb12u2", Broken: true},
		{Name: "bash", Present: true, Version: "5.2.15-2+b8"},
		{Name: "iptables", Present: true, Version: "1.8.9-2"},
		{Name: "proxy"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" || len(f.Ran) > 0 {
		t.Errorf("%v, ran %q\n%s", err, f.Ran, diff)
	}
	if _, err := exec.LookPath("dpkg-query"); err != nil {
		t.Skip("dpkg-query is not installed: not compared with it")
	}
	real := New(&program.Runner{System: adminDir{program.Machine{Log: slog.New(slog.DiscardHandler)}, h.dpkg}}, nil, slog.New(slog.DiscardHandler))
	states, err := real.queryDpkg(t.Context(), names...)
	if err != nil {
		t.Fatal(err)
	}
	found, _ := h.readRecords(names)
	if diff := cmp.Diff(states, found, cmp.AllowUnexported(dpkgState{})); diff != "" {
		t.Errorf("dpkg-query says something else:\n%s", diff)
	}
}

// adminDir makes dpkg-query use another database.
type adminDir struct {
	program.Machine
	dir string
}

func (a adminDir) Run(ctx context.Context, c program.Command) (program.Output, error) {
	c.Args = append([]string{"--admindir=" + a.dir}, c.Args...)
	return a.Machine.Run(ctx, c)
}

// TestPackagesNotFromTheRecords: if the file is incomplete, or is not dpkg's, dpkg-query runs.
func TestPackagesNotFromTheRecords(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, dir string) error{
		"dpkg works": func(_ *testing.T, dir string) error {
			return os.WriteFile(filepath.Join(dir, "updates", "0001"), nil, 0o644)
		},
		"no status": func(_ *testing.T, dir string) error { return os.Remove(filepath.Join(dir, "status")) },
		"another text": func(_ *testing.T, dir string) error {
			return os.WriteFile(filepath.Join(dir, "status"), []byte("x\n"), 0o644)
		},
		"a stanza without state": func(_ *testing.T, dir string) error {
			return os.WriteFile(filepath.Join(dir, "status"), []byte("Package: haproxy\n"), 0o644)
		},
	} {
		h, f := newManager(t, recorded.Answer{Words: "dpkg-query", Out: program.Output{Stdout: dpkgOutput}})
		h.dpkg = dpkgWith(t, statusFile)
		if err := change(t, h.dpkg); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Packages(t.Context(), "haproxy"); err != nil || len(f.Ran) != 1 {
			t.Errorf("%s: %v, ran %q", name, err, f.Ran)
		}
	}
}

// BenchmarkRecords measures the reading of a machine's whole dpkg records.
func BenchmarkRecords(b *testing.B) {
	m := New(nil, nil, nil)
	if _, complete := m.readRecords(managedPackages); !complete {
		b.Skip("this machine has no dpkg")
	}
	for b.Loop() {
		m.readRecords(managedPackages)
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(time.Millisecond), "ms/op")
}

func dpkgWith(t *testing.T, status string) string {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "updates"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "status"), []byte(status), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}
