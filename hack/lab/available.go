package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
)

// needs names the Debian package of each program that the lab runs on the machine itself.
var needs = map[string]string{
	"systemd-nspawn":    "systemd-container",
	"debootstrap":       "debootstrap",
	"dpkg-deb":          "dpkg",
	"dpkg-scanpackages": "dpkg-dev",
	"ip":                "iproute2",
	"nft":               "nftables",
	"nsenter":           "util-linux",
	"unshare":           "util-linux",
}

// Available returns why a lab cannot run on this machine, or nil.
func Available() error {
	if os.Geteuid() != 0 {
		return errors.New("cannot run the lab: not root")
	}
	var missing []string
	for program, pkg := range needs {
		if _, err := exec.LookPath(program); err != nil && !slices.Contains(missing, pkg) {
			missing = append(missing, pkg)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return fmt.Errorf("cannot run the lab: apt-get install %s", strings.Join(missing, " "))
	}
	if _, err := hierarchies(); err != nil {
		return fmt.Errorf("cannot run the lab: %w", err)
	}
	return nil
}

// TB is the part of testing.TB that Require and RequireRelease need; with it labctl does not link package testing.
type TB interface {
	Helper()
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Require skips the test unless RLB_LAB=1 asks for the lab and this machine can run it. With RLB_REQUIRE=1 it fails
// instead, so that a run that must test everything cannot pass by skipping.
func Require(t TB) {
	t.Helper()
	reason := Available()
	if os.Getenv("RLB_LAB") != "1" {
		reason = errors.New("the lab of real hosts runs only with RLB_LAB=1")
	}
	switch {
	case reason == nil:
	case os.Getenv("RLB_REQUIRE") == "1":
		t.Fatalf("RLB_REQUIRE=1: %v", reason)
	default:
		t.Skipf("%v", reason)
	}
}

// unavailable holds the releases that are not available: a process does not try them again.
var unavailable sync.Map

// RequireRelease is Require for a test on a release. If an unstable release is not available today, the test is skipped
// with the reason; if a stable one is not available, the test fails.
func RequireRelease(ctx context.Context, t TB, r Release) {
	t.Helper()
	Require(t)
	reason, known := unavailable.Load(r)
	if !known {
		_, err := ProgramTree(ctx, r)
		if err == nil {
			return
		}
		if reason = err; ctx.Err() == nil {
			unavailable.Store(r, reason)
		}
	}
	if r.Stable() {
		t.Fatalf("%v", reason)
	}
	t.Skipf("SKIPPED: nothing is tried on %s, which is not available today: %v", r, reason)
}
