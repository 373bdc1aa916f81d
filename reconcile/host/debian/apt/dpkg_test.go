package apt

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
	"rlb.dev/rlb-agent/reconcile/host/debian/program/recorded"
)

// Recorded on Debian 12, except for the states that a healthy host does not have.
const (
	dpkgOutput = "bash\tinstall\tinstalled\tok\t5.2.15-2+b8\n" +
		"haproxy\thold\tinstalled\tok\t2.6.12-1+deb12u4\n" +
		"keepalived\tinstall\thalf-configured\tok\t1:2.2.7-1+b2\n" +
		"ipvsadm\tdeinstall\tconfig-files\tok\t1:1.31-1\n" +
		"broken\tinstall\tinstalled\treinstreq\t1\n"
	policyOutput = `ipvsadm:
  Installed: (none)
  Candidate: 1:1.31-1+b2
  Version table:
     1:1.31-1+b2 500
        500 http://mirror.example/debian bookworm/main amd64 Packages
obsolete:
  Installed: (none)
  Candidate: (none)
  Version table:
`
)

func TestPackages(t *testing.T) {
	h, f := newManager(t,
		recorded.Answer{Words: "dpkg-query", Out: program.Output{Code: 1, Stdout: dpkgOutput, Stderr: "dpkg-query: no packages found matching nosuch\n"}})
	got, err := h.Packages(t.Context(), "haproxy", "nosuch", "keepalived", "ipvsadm", "broken", "bash")
	want := []host.Package{
		{Name: "haproxy", Present: true, Version: "2.6.12-1+deb12u4", Held: true},
		{Name: "nosuch"},
		{Name: "keepalived", Present: true, Version: "1:2.2.7-1+b2", Broken: true},
		{Name: "ipvsadm", Present: true},
		{Name: "broken", Present: true, Version: "1", Broken: true},
		{Name: "bash", Present: true, Version: "5.2.15-2+b8"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if len(f.Ran) != 1 {
		t.Errorf("ran %q", f.Ran)
	}
}

func TestCandidates(t *testing.T) {
	h, f := newManager(t, recorded.Answer{Words: "apt-cache", Out: program.Output{Stdout: policyOutput}})
	for range 2 {
		got, err := h.Candidates(t.Context(), "ipvsadm", "obsolete")
		if err != nil || got["ipvsadm"] != "1:1.31-1+b2" || got["obsolete"] != "" {
			t.Errorf("%q, %v", got, err)
		}
	}
	if !slices.Equal(f.Ran, []string{"apt-cache policy -- ipvsadm obsolete"}) {
		t.Errorf("ran %q", f.Ran)
	}
	if _, err := h.Candidates(t.Context(), "-o"); err == nil || len(f.Ran) > 1 {
		t.Errorf("an option passes for a name: %v, ran %q", err, f.Ran)
	}
}

// TestPackagesAsksDpkgOnce: dpkg-query does not run again while dpkg's records are unchanged, and one query covers all
// managed packages.
func TestPackagesAsksDpkgOnce(t *testing.T) {
	h, f := newManager(t, recorded.Answer{Words: "dpkg-query", Out: program.Output{Stdout: dpkgOutput}})
	h.dpkg = t.TempDir()
	record := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(h.dpkg, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	asked := func(when string, want int, names ...string) {
		t.Helper()
		if _, err := h.Packages(t.Context(), names...); err != nil {
			t.Fatal(err)
		}
		if len(f.Ran) != want {
			t.Errorf("%s: asked %d times, want %d: %q", when, len(f.Ran), want, f.Ran)
		}
	}
	asked("no records to be seen", 1, "haproxy")
	asked("still none", 2, "haproxy")
	record("status", "1")
	if err := os.Mkdir(filepath.Join(h.dpkg, "updates"), 0o755); err != nil {
		t.Fatal(err)
	}
	asked("the first question", 3, "haproxy")
	asked("others that the agent manages", 3, "keepalived", "haproxy")
	asked("one that it does not manage", 4, "bash")
	asked("all known", 4, "haproxy", "bash")
	record("status", "22")
	asked("dpkg has ended", 5, "haproxy")
	record("updates/0001", "x")
	asked("dpkg works", 6, "haproxy")
}

func TestPackagesErrors(t *testing.T) {
	h, f := newManager(t, recorded.Answer{Words: "dpkg-query", Out: program.Output{Code: 2, Stderr: "dpkg-query: error: parsing file '/var/lib/dpkg/status'\n"}})
	_, err := h.Packages(t.Context(), "haproxy")
	recorded.WantError(t, err, "cannot look at packages: dpkg-query: error: parsing file '/var/lib/dpkg/status'")
	for _, name := range []string{"-o", "haproxy*", "", "haproxy-", "a b"} {
		if _, err := h.Packages(t.Context(), name); err == nil {
			t.Errorf("%q passes for a name", name)
		}
	}
	f.Absent = []string{"dpkg-query"}
	_, err = h.Packages(t.Context(), "haproxy")
	recorded.WantError(t, err, "cannot look at packages: dpkg-query is not installed")
	if !errors.Is(err, host.ErrUnavailable) {
		t.Error("no dpkg is not ErrUnavailable")
	}
}

func TestHoldPackage(t *testing.T) {
	free := "haproxy\tinstall\tinstalled\tok\t2.6.12-1+deb12u4\n"
	held := "haproxy\thold\tinstalled\tok\t2.6.12-1+deb12u4\n"
	t.Run("hold", func(t *testing.T) {
		h, f := newManager(t, recorded.Answer{Words: "dpkg-query", Out: program.Output{Stdout: free}, Once: true}, recorded.Answer{Words: "dpkg-query", Out: program.Output{Stdout: held}})
		recorded.WantError(t, h.HoldPackage(t.Context(), "haproxy", true), "")
		if !slices.Contains(f.Ran, "dpkg --set-selections <<< haproxy hold\n") {
			t.Errorf("ran %q", f.Ran)
		}
	})
	t.Run("done before", func(t *testing.T) {
		h, f := newManager(t, recorded.Answer{Words: "dpkg-query", Out: program.Output{Stdout: held}})
		recorded.WantError(t, h.HoldPackage(t.Context(), "haproxy", true), "")
		if len(f.Ran) != 1 {
			t.Errorf("ran %q", f.Ran)
		}
	})
	t.Run("release", func(t *testing.T) {
		h, f := newManager(t, recorded.Answer{Words: "dpkg-query", Out: program.Output{Stdout: held}, Once: true}, recorded.Answer{Words: "dpkg-query", Out: program.Output{Stdout: free}})
		recorded.WantError(t, h.HoldPackage(t.Context(), "haproxy", false), "")
		if !slices.Contains(f.Ran, "dpkg --set-selections <<< haproxy install\n") {
			t.Errorf("ran %q", f.Ran)
		}
	})
	t.Run("dpkg only warns", func(t *testing.T) {
		h, _ := newManager(t, recorded.Answer{Words: "dpkg-query", Out: program.Output{Code: 1}})
		recorded.WantError(t, h.HoldPackage(t.Context(), "nosuch", true), "cannot hold nosuch: the package is not installed")
	})
}
