package e2e

import (
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// Cases are subtests that share hosts, because making hosts is slow. A case that fails does not spoil the next one: the
// hosts are restored in between.
type Cases struct {
	World   *World
	restore func(*World)
	failed  bool // the previous case failed
}

// NewCases makes cases; restore brings the hosts back to the starting state of a case, whatever the previous one left.
func (w *World) NewCases(restore func(*World)) *Cases { return &Cases{World: w, restore: restore} }

// Run runs a case.
func (c *Cases) Run(name string, do func(*World)) {
	c.World.T.Run(name, func(t *testing.T) {
		w := c.World.In(t)
		if c.failed {
			w.Log("the case before failed: the hosts are restored first")
			c.restore(w)
		}
		defer func() { c.failed = t.Failed() }()
		do(w)
	})
}

// PairCases are cases on a pair with daemons.
type PairCases struct {
	cases *Cases
	hosts [2]*Host
}

// NewPairCases makes two installed hosts that run the spec, with the agent as a daemon.
func NewPairCases(t *testing.T, spec string, releases ...lab.Release) *PairCases {
	t.Helper()
	w := New(t)
	a, b := w.Pair(spec, releases...)
	StartDaemon(a, b)
	return &PairCases{w.NewCases(func(w *World) { w.restorePair(spec, a, b) }), [2]*Host{a, b}}
}

// Run runs a case. At its start one host is active, and HAProxy and the agent work on both.
func (c *PairCases) Run(name string, do func(w *World, active, standby *Host)) {
	c.cases.Run(name, func(w *World) {
		a, b := c.hosts[0].In(w.T), c.hosts[1].In(w.T)
		w.Eventually("the pair is at rest", 20*time.Second, func() bool {
			return a.Active() != b.Active() && a.Well() && b.Well() && a.atRest() && b.atRest()
		})
		active, standby := w.Roles(a, b)
		do(w, active, standby)
	})
}

func (w *World) restorePair(spec string, a, b *Host) {
	for _, plane := range w.Planes {
		if err := plane.Set(lab.OK); err != nil {
			w.Fatal(err)
		}
	}
	if err := pair.Restore(w.Context(), w.Lab.Lab, []*lab.Host{a.Host, b.Host}, "haproxy", "keepalived", "rlb-agent"); err != nil {
		w.Fatal(err)
	}
	for _, h := range []*Host{a.In(w.T), b.In(w.T)} {
		h.WriteSpec(spec)
		h.Shell("systemctl restart haproxy") // removes what a case did to its process, or holds open
	}
}

// atRest reports whether keepalived is MASTER or BACKUP: its own check of HAProxy keeps a host in FAULT for some
// seconds longer than the daemon does.
func (h *Host) atRest() bool {
	s, _ := h.Status()
	return s.Role == "MASTER" || s.Role == "BACKUP"
}

// Well reports whether the daemon sees that HAProxy answers, and keepalived may hold the virtual IP.
func (h *Host) Well() bool { return h.FaultFlag(false) && h.HAProxyIs("answers") }
