package lab_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// A test of the lab takes seconds; this stops a test that hangs.
const testTimeout = 3 * time.Minute

func prefix(last int) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf("198.51.100.%d/24", last))
}

func newLab(t *testing.T) (context.Context, *lab.Lab) {
	t.Helper()
	lab.Require(t)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	l, err := lab.New(ctx, lab.Options{Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		begin := time.Now()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		t.Logf("closed in %s", time.Since(begin).Round(time.Millisecond))
		checkNothingLeft(t)
	})
	return ctx, l
}

// addHosts boots one host of each release at the same time: h1 at .11, h2 at .12 and so on.
func addHosts(ctx context.Context, t *testing.T, l *lab.Lab, releases ...lab.Release) []*lab.Host {
	t.Helper()
	hosts, errs := make([]*lab.Host, len(releases)), make([]error, len(releases))
	var group sync.WaitGroup
	for i, r := range releases {
		group.Go(func() {
			hosts[i], errs[i] = l.AddHost(ctx, fmt.Sprintf("h%d", i+1), r, lab.HostOptions{Addr: prefix(11 + i)})
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return hosts
}

func run(ctx context.Context, t *testing.T, h *lab.Host, script string) string {
	t.Helper()
	out, err := h.Sh(ctx, script)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestMain is also the lab that TestSweepAfterKill kills.
func TestMain(m *testing.M) {
	if os.Getenv("RLB_LAB_VICTIM") != "" {
		victim()
		return
	}
	os.Exit(m.Run())
}
