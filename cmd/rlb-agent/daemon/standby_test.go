package daemon

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/state"
)

// TestLoopStandbyFirst: the host that holds the virtual IPs waits once for its peer to change the virtual router
// first. Other edits do not wait.
func TestLoopStandbyFirst(t *testing.T) {
	const router = "vrrp: {priority: 7}\n"
	synctest.Test(t, func(t *testing.T) {
		h := fake.New()
		k := newKept(t, h, smallSpec)
		edit := func(spec string, why cause) (pause time.Duration, changed bool) {
			k.spec = spec
			before := len(k.history())
			pause, _ = k.next(why)
			return pause, len(k.history()) > before
		}
		edited := cause{seen: []string{specPath}}
		if _, changed := edit(smallSpec+router, edited); !changed {
			t.Error("a standby waits")
		}
		hold := func() {
			h.Role = host.RoleMaster
			h.Net[1].Prefixes = append(h.Net[1].Prefixes, netip.MustParsePrefix("198.51.100.10/32"))
		}
		hold()
		if pause, changed := edit(smallSpec, edited); changed || pause < time.Second || pause > 5*time.Second {
			t.Errorf("it does not wait: %v, %v", pause, changed)
		}
		time.Sleep(time.Second)
		if pause, changed := edit(smallSpec, cause{seen: []string{"the addresses"}}); changed || pause > 4*time.Second {
			t.Errorf("it does not wait on: %v, %v", pause, changed)
		}
		time.Sleep(5 * time.Second)
		if _, changed := edit(smallSpec, cause{}); !changed {
			t.Error("it waits for ever")
		}
		if _, changed := edit(smallSpec+"proxy: {retries: 7}\n", edited); !changed {
			t.Error("it waits with an edit that is not of the virtual router")
		}
		if _, changed := edit(smallSpec+router, cause{asked: true}); !changed {
			t.Error("who asks waits")
		}
	})
}

// TestLoopStandbyFirstAfterFailures: an edit that waits for the standby does not then wait for the back-off of failed runs.
func TestLoopStandbyFirstAfterFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKept(t, fake.New(), smallSpec)
		k.h.Role = host.RoleMaster
		k.h.Net[1].Prefixes = append(k.h.Net[1].Prefixes, netip.MustParsePrefix("198.51.100.10/32"))
		k.h.FailMethod("StartUnit", errors.New("cannot start haproxy.service"))
		for began := time.Now(); time.Since(began) < time.Hour; {
			k.h.Crash("haproxy.service")
			pause, _ := k.next(cause{})
			time.Sleep(pause)
		}
		k.next(cause{})
		k.h.Heal()
		before, saved := len(k.history()), time.Now()
		k.spec = smallSpec + "vrrp: {priority: 7}\n"
		pause, _ := k.next(cause{seen: []string{specPath}})
		for len(k.history()) == before {
			time.Sleep(pause)
			pause, _ = k.next(cause{})
		}
		if took := time.Since(saved); took > 5*time.Second {
			t.Errorf("in force after %v", took)
		}
	})
}

// locked is a host whose lock another command holds.
type locked struct{ Lockable }

func (locked) Lock(context.Context, time.Duration) (func(), error) {
	return nil, errors.New("cannot lock: another rlb-agent changes this host")
}

// TestLoopEditDuringACommand: an edit that finds the host locked is tried again soon, whatever failed before.
func TestLoopEditDuringACommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKept(t, fake.New(), smallSpec)
		k.h.FailMethod("Packages", errors.New("cannot ask dpkg: it does not answer"))
		for began := time.Now(); time.Since(began) < time.Hour; {
			pause, _ := k.next(cause{})
			time.Sleep(pause)
		}
		k.next(cause{})
		k.h.Heal()
		free := k.host
		k.host, k.spec = locked{free}, smallSpec+"vrrp: {priority: 7}\n"
		pause, _ := k.next(cause{seen: []string{specPath}})
		time.Sleep(pause)
		k.host = free
		before := len(k.history())
		if pause, _ = k.next(cause{}); len(k.history()) == before {
			t.Errorf("the edit waits for another %v", pause)
		}
	})
}

// history returns the generations.
func (k *kept) history() []state.Generation {
	k.t.Helper()
	all, err := state.History(k.t.Context(), k.h)
	if err != nil {
		k.t.Fatal(err)
	}
	return all
}
