package apt

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
	"rlb.dev/rlb-agent/reconcile/host/debian/program/recorded"
)

const (
	bashOnly  = "bash\tinstall\tinstalled\tok\t5.2.15-2+b8\nold\tdeinstall\tconfig-files\tok\t1\n"
	installed = bashOnly + "haproxy\tinstall\tinstalled\tok\t2.6.12-1+deb12u4\nliblua5.3-0\tinstall\tinstalled\tok\t5.3.6-2\n"
)

func ranWith(f *recorded.System, words string) bool {
	return slices.ContainsFunc(f.Ran, func(c string) bool { return strings.HasPrefix(c, words) })
}

func TestInstallPackages(t *testing.T) {
	h, f := newManager(t,
		recorded.Answer{Words: "dpkg-query", Out: program.Output{Code: 1, Stdout: ""}, Once: true},
		recorded.Answer{Words: "dpkg-query", Out: program.Output{Stdout: bashOnly}, Once: true},
		recorded.Answer{Words: "unit: apt-get", Log: "Reading package lists...\nGet:1 file:/srv/repo ./ haproxy\nUnpacking haproxy (2.6.12) ...\n"},
		recorded.Answer{Words: "dpkg-query", Out: program.Output{Stdout: installed}})
	var told []string
	h.programs.Progress = func(line string) { told = append(told, line) }
	added, err := h.InstallPackages(t.Context(), "haproxy=2.6.*")
	if err != nil || !slices.Equal(added, []string{"haproxy", "liblua5.3-0"}) {
		t.Errorf("added %q, %v", added, err)
	}
	last := f.Ran[slices.IndexFunc(f.Ran, func(c string) bool { return strings.HasPrefix(c, "unit:") })]
	if !strings.HasSuffix(last, " install -- haproxy=2.6.*") || !strings.Contains(last, "--force-confold") {
		t.Errorf("ran %q", last)
	}
	if diff := cmp.Diff([]string{"Get:1 file:/srv/repo ./ haproxy", "Unpacking haproxy (2.6.12) ..."}, told); diff != "" {
		t.Error(diff)
	}
}

func TestInstallPackagesDoneBefore(t *testing.T) {
	for _, request := range []string{"haproxy", "haproxy=2.6.*", "haproxy=2.6.12-1+deb12u4"} {
		h, f := newManager(t, recorded.Answer{Words: "dpkg-query", Out: program.Output{Stdout: installed}})
		if added, err := h.InstallPackages(t.Context(), request); err != nil || added != nil || ranWith(f, "unit:") {
			t.Errorf("%s: %q, %v, ran %q", request, added, err, f.Ran)
		}
	}
	h, f := newManager(t, recorded.Answer{Words: "dpkg-query", Out: program.Output{Stdout: installed}})
	if _, err := h.InstallPackages(t.Context(), "haproxy=2.4.*"); err != nil || !ranWith(f, "unit: apt-get") {
		t.Errorf("another version: %v, ran %q", err, f.Ran)
	}
}

func TestInstallPackagesErrors(t *testing.T) {
	for _, request := range []string{"-o=x", "--reinstall", "haproxy-", "haproxy*", "", "haproxy=", "a=b c", "haproxy=2.6.12-", "haproxy=2.6.*-", "haproxy=2.6+", "haproxy=-"} {
		h, f := newManager(t)
		if _, err := h.InstallPackages(t.Context(), request); err == nil || len(f.Ran) > 0 {
			t.Errorf("%q: %v, ran %q", request, err, f.Ran)
		}
	}

	h, _ := newManager(t, recorded.Answer{Words: "unit: apt-get", Out: program.Output{Code: 100}, Log: "Building dependency tree...\nE: Unable to locate package haproxy\n"})
	_, err := h.InstallPackages(t.Context(), "haproxy")
	recorded.WantError(t, err, "cannot install haproxy: apt-get: E: Unable to locate package haproxy")

	h, _ = newManager(t, recorded.Answer{Words: "systemd-run", Out: program.Output{Code: 1, Stderr: "Failed to start transient service unit: no\n"}},
		recorded.Answer{Words: "unit: apt-get", Out: program.Output{Code: 1, Stderr: "Failed to start transient service unit: no\n"}})
	_, err = h.InstallPackages(t.Context(), "haproxy")
	recorded.WantError(t, err, "cannot install haproxy: systemd-run: Failed to start transient service unit: no")
}

// TestInstallRefusesSurprises: additional changes of apt are refused before it does anything.
func TestInstallRefusesSurprises(t *testing.T) {
	const inst = "Inst haproxy (2.6.12 Debian:12 [amd64])\nConf haproxy (2.6.12 Debian:12 [amd64])\n"
	for _, test := range []struct{ name, request, simulation, want string }{
		{"a removal", "haproxy", "The following packages will be REMOVED:\n  nginx\n" + inst + "Remv nginx:amd64 [1.22]\n", "remove nginx"},
		{"a downgrade", "haproxy", "The following packages will be DOWNGRADED:\n  liblua5.3-0:amd64 libc6\n0 upgraded\n" + inst, "downgrade liblua5.3-0, libc6"},
		{"one that was asked for", "haproxy=2.4.*", "The following packages will be DOWNGRADED:\n  haproxy\n" + inst, ""},
		{"one that is held", "haproxy", "The following held packages will be changed:\n  haproxy libssl3\n" + inst, "change the held libssl3"},
		{"others that are new", "haproxy", "The following additional packages will be installed:\n  liblua5.3-0\nSuggested packages:\n  vim-haproxy\n" + inst + "Inst liblua5.3-0 (5.3)\n", ""},
	} {
		h, f := newManager(t, recorded.Answer{Words: "dpkg-query", Out: program.Output{Stdout: bashOnly}}, recorded.Answer{Words: "apt-get", Out: program.Output{Stdout: test.simulation}})
		_, err := h.InstallPackages(t.Context(), test.request)
		if test.want != "" {
			recorded.WantError(t, err, "cannot install "+test.request+": that would also "+test.want)
		} else if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if ranWith(f, "unit:") != (test.want == "") {
			t.Errorf("%s: ran %q", test.name, f.Ran)
		}
	}
}

func TestInstallTellsOfListsThatFailed(t *testing.T) {
	h, f := newManager(t, recorded.Answer{Words: "unit: apt-get", Once: true,
		Log: "Err:1 http://deb.example bookworm InRelease\nW: Failed to fetch http://deb.example/x  Could not resolve 'deb.example'\n"},
		recorded.Answer{Words: "unit: apt-get", Out: program.Output{Code: 100}, Log: "E: Unable to locate package haproxy\n"})
	recorded.WantError(t, h.RefreshPackages(t.Context()), "")
	_, err := h.InstallPackages(t.Context(), "haproxy")
	recorded.WantError(t, err, "cannot install haproxy: apt-get: E: Unable to locate package haproxy (and not all lists of packages "+
		"could be fetched: Failed to fetch http://deb.example/x  Could not resolve 'deb.example')")
	if !ranWith(f, "unit: apt-get") || !errors.Is(err, host.ErrForNow) {
		t.Errorf("may go by itself: %v, ran %q", errors.Is(err, host.ErrForNow), f.Ran)
	}
}

func TestAptWaits(t *testing.T) {
	h, f := newManager(t,
		recorded.Answer{Words: "systemctl list-units", Out: program.Output{Stdout: "rlb-apt-7-1.service loaded active running x\n"}, Once: true},
		recorded.Answer{Words: "unit: apt-get", Out: program.Output{Code: 100}, Once: true,
			Log: "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)\n"})
	recorded.WantError(t, h.RefreshPackages(t.Context()), "")
	var lists, updates int
	for _, c := range f.Ran {
		if strings.HasPrefix(c, "systemctl list-units") {
			lists++
		}
		if strings.HasSuffix(c, " update") {
			updates++
		}
	}
	if lists != 3 || updates != 2 {
		t.Errorf("%d looks for former units, %d updates: %q", lists, updates, f.Ran)
	}
}

func TestPurgePackages(t *testing.T) {
	h, f := newManager(t,
		recorded.Answer{Words: "dpkg-query", Out: program.Output{Stdout: installed}},
		recorded.Answer{Words: "apt-get", Out: program.Output{Stdout: "Reading package lists...\nPurg haproxy [2.6.12-1+deb12u4]\nPurg liblua5.3-0:amd64 [5.3.6-2]\n"}})
	recorded.WantError(t, h.PurgePackages(t.Context(), "haproxy", "liblua5.3-0", "nosuch"), "")
	if last := f.Ran[len(f.Ran)-1]; !strings.HasPrefix(last, "unit: apt-get") || !strings.HasSuffix(last, " purge -- haproxy liblua5.3-0") {
		t.Errorf("ran %q", f.Ran)
	}

	h, f = newManager(t,
		recorded.Answer{Words: "dpkg-query", Out: program.Output{Stdout: installed}},
		recorded.Answer{Words: "apt-get", Out: program.Output{Stdout: "Remv haproxy [2.6.12-1+deb12u4]\nPurg liblua5.3-0 [5.3.6-2]\n"}})
	recorded.WantError(t, h.PurgePackages(t.Context(), "liblua5.3-0"), "cannot purge liblua5.3-0: that would also remove haproxy")
	if ranWith(f, "unit:") {
		t.Errorf("ran %q", f.Ran)
	}

	h, f = newManager(t, recorded.Answer{Words: "dpkg-query", Out: program.Output{Stdout: bashOnly}})
	recorded.WantError(t, h.PurgePackages(t.Context(), "haproxy"), "")
	if ranWith(f, "unit:") {
		t.Errorf("ran %q", f.Ran)
	}
}

func TestTransientLogBeginsAnew(t *testing.T) {
	h, _ := newManager(t, recorded.Answer{Words: "unit: apt-get", Log: "W: new\n"})
	path := filepath.Join(h.run, "apt.log")
	if err := os.WriteFile(path, []byte(strings.Repeat("E: of before\n", 100_000)), 0o640); err != nil {
		t.Fatal(err)
	}
	recorded.WantError(t, h.RefreshPackages(t.Context()), "")
	if text, err := os.ReadFile(path); err != nil || string(text) != "W: new\n" {
		t.Errorf("%v, %d bytes", err, len(text))
	}
	if stale := h.staleLists.Load(); stale != "new" {
		t.Errorf("stale lists %q", stale)
	}
}
