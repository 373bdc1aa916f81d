package reconcile_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/peers"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

const (
	newHAProxy    = "2.6.12-1+deb12u9"
	newKeepalived = "1:2.2.7-1+b3"
)

func upgradeOf(force bool, names ...string) drainer {
	return func(ctx context.Context, r *reconcile.Reconciler, doc *api.Document) (reconcile.Result, error) {
		newer, _, err := plan.FindNewer(ctx, r.Host, &doc.Spec, names...)
		if err != nil || len(newer) != len(names) {
			return reconcile.Result{}, errors.Join(err, errors.New("the archive offers nothing newer"))
		}
		return r.Upgrade(ctx, doc, newer, force)
	}
}

// heard writes what the daemon of this host, lb1, has heard from its peers, at the start of synctest's clock.
func heard(t *testing.T, h *fake.Host, doc *api.Document, role host.Role, others ...peers.Report) {
	t.Helper()
	began := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	self := peers.SelfOf(&doc.Spec, "lb1")
	self.Role, self.Serving = role, true
	table := peers.Table{}
	table.SetSelf(self)
	for _, r := range others {
		table.Hear("02:00:00:00:00:0c", r, began)
	}
	if err := state.WriteDerived(t.Context(), h, state.PeersFile, table.Mark(began)); err != nil {
		t.Fatal(err)
	}
}

// TestUpgrade: the virtual IPs move if a standby is ready. If it is known that none is ready, nothing is changed. If
// nothing is known, a drain is tried.
func TestUpgrade(t *testing.T) {
	const peer, vip = "198.51.100.12", "198.51.100.10"
	both := []string{"haproxy", "keepalived"}
	ready := func(*peers.Report) {}
	drained := func(r *peers.Report) { r.Drained, r.Role = true, host.RoleFault }
	inFault := func(r *peers.Report) { r.Role = host.RoleFault }
	gone := func(r *peers.Report) { r.Goodbye = true }
	for name, c := range map[string]struct {
		nodes    string
		standby  bool                // this host is a standby
		daemon   bool                // the daemon runs and listens to the peers
		peer     func(*peers.Report) // nil if no peer is heard
		answers  string              // addresses that answer ARP
		force    bool
		packages []string
		broken   bool // the new HAProxy refuses its files

		drains  bool // or tries to drain
		refused string
	}{
		"a standby is ready":               {nodes: pairNodes, daemon: true, peer: ready, answers: peer + " " + vip, drains: true},
		"a standby is ready, forced":       {nodes: pairNodes, daemon: true, peer: ready, answers: peer + " " + vip, force: true, drains: true},
		"haproxy alone":                    {nodes: pairNodes, daemon: true, peer: ready, answers: peer + " " + vip, packages: both[:1], drains: true},
		"keepalived alone":                 {nodes: pairNodes, daemon: true, peer: ready, answers: peer + " " + vip, packages: both[1:], drains: true},
		"a new package fails":              {nodes: pairNodes, daemon: true, peer: ready, answers: peer + " " + vip, broken: true, drains: true},
		"no nodes, a standby is ready":     {daemon: true, peer: ready, answers: vip, drains: true},
		"the peer is drained":              {nodes: pairNodes, daemon: true, peer: drained, answers: peer, refused: "lb2 cannot serve: it is drained"},
		"the peer is in FAULT":             {nodes: pairNodes, daemon: true, peer: inFault, answers: peer, refused: "lb2 cannot serve: it is in FAULT"},
		"the peer is in FAULT, one":        {nodes: pairNodes, daemon: true, peer: inFault, answers: peer, packages: both[:1], refused: "lb2 cannot serve: it is in FAULT"},
		"the peer's agent said goodbye":    {nodes: pairNodes, daemon: true, peer: gone, answers: peer, refused: "lb2 cannot serve: its agent said goodbye"},
		"the peer is drained, forced":      {nodes: pairNodes, daemon: true, peer: drained, answers: peer, force: true},
		"no nodes, the peer is drained":    {daemon: true, peer: drained, refused: "lb2 cannot serve: it is drained"},
		"no nodes and no peer":             {daemon: true, refused: "no other host runs an agent for these virtual IPs"},
		"no nodes and no peer, forced":     {daemon: true, force: true},
		"the only node":                    {nodes: nodesOf(1), daemon: true, refused: "the spec names no other node"},
		"the only node, no daemon":         {nodes: nodesOf(1), refused: "the spec names no other node"},
		"the only node, forced":            {nodes: nodesOf(1), force: true},
		"a standby":                        {nodes: pairNodes, standby: true, daemon: true, peer: drained},
		"a standby fails":                  {nodes: pairNodes, standby: true, daemon: true, peer: drained, broken: true},
		"unknown: no daemon":               {nodes: pairNodes, answers: peer + " " + vip, drains: true},
		"unknown: the peer is silent":      {nodes: pairNodes, daemon: true, answers: peer + " " + vip, drains: true},
		"unknown: no peer answers":         {nodes: pairNodes, refused: "none of its peers"},
		"unknown: no peer answers, forced": {nodes: pairNodes, force: true},
		"unknown: none takes over":         {nodes: pairNodes, answers: peer, drains: true, refused: "although peers answer"},
		"unknown: no nodes":                {answers: vip, drains: true},
		"unknown: no nodes, none":          {drains: true, refused: "names no nodes to look for"},
	} {
		t.Run(name, func(t *testing.T) {
			doc := parse(t, spec+c.nodes)
			h := installed(t, doc)
			old := map[string]string{"haproxy": h.Installed("haproxy"), "keepalived": h.Installed("keepalived")}
			h.Archive["haproxy"] = append([]string{newHAProxy}, h.Archive["haproxy"]...)
			h.Archive["keepalived"] = append([]string{newKeepalived}, h.Archive["keepalived"]...)
			if c.broken {
				h.Forbidden = map[string]string{"haproxy " + newHAProxy: "frontend web"}
			}
			role, other := host.RoleMaster, host.RoleBackup
			if c.standby {
				role, other = other, role
			} else {
				hold(h, vip)
			}
			h.Answers = map[netip.Addr]string{}
			for addr := range strings.FieldsSeq(c.answers) {
				h.Answers[netip.MustParseAddr(addr)] = "02:00:00:00:00:0c"
			}
			if c.daemon {
				var others []peers.Report
				if c.peer != nil {
					r := peers.SelfOf(&doc.Spec, "lb2").Report
					r.Role, r.Serving, r.Forwards = other, true, true
					c.peer(&r)
					others = append(others, r)
				}
				heard(t, h, doc, role, others...)
			}
			names := c.packages
			if names == nil {
				names = both
			}
			before := h.Dump()
			h.Log = nil
			_, said := draining(t, h, func(ctx context.Context, r *reconcile.Reconciler, _ *api.Document) (reconcile.Result, error) {
				return reconcile.Result{}, r.UpgradeRefusal(ctx, c.force)
			})
			_, err := draining(t, h, upgradeOf(c.force, names...))
			if foreseen := c.refused != "" && !c.drains; (said != nil) != foreseen || foreseen && (err == nil || said.Error() != err.Error()) {
				t.Errorf("beforehand it says %v, then %v", said, err)
			}

			drains := strings.Contains(strings.Join(h.Log, "\n"), render.DrainFile)
			if drains != c.drains {
				t.Errorf("drained: %t, want %t\n%s", drains, c.drains, strings.Join(h.Log, "\n"))
			}
			failure := (*reconcile.Failure)(nil)
			switch {
			case c.refused != "":
				if !errors.As(err, &failure) || !errors.Is(err, reconcile.ErrNotTaken) || !strings.Contains(err.Error(), c.refused) || failure.Undo != nil {
					t.Errorf("error %v, want %q", err, c.refused)
				}
				if !c.drains && len(h.Log) > 0 {
					t.Errorf("a refusal touched the host: %q", h.Log)
				}
				if !c.drains {
					same(t, "a refusal", h, before)
				}
			case c.broken:
				if !errors.As(err, &failure) || failure.Undo != nil || !failure.Undone {
					t.Errorf("error %v", err)
				}
			case err != nil:
				t.Error(err)
			}
			for i, version := range []string{newHAProxy, newKeepalived} {
				want := old[both[i]]
				if c.refused == "" && !c.broken && strings.Contains(strings.Join(names, " "), both[i]) {
					want = version
				}
				if got := h.Installed(both[i]); got != want {
					t.Errorf("%s is %s, want %s", both[i], got, want)
				}
			}
			// it may hold the virtual IPs again, however the upgrade ended
			if text := trackedText(t, h); text == wordOut || c.drains && text != wordIn {
				t.Errorf("the tracked file says %q", text)
			}
			h.Forbidden = nil
			quiet(t, h, doc)
		})
	}
}

// TestUpgradeDrained: a host that a user drained stays drained.
func TestUpgradeDrained(t *testing.T) {
	const peer, vip = "198.51.100.12", "198.51.100.10"
	h := holder(t, "", peer, vip)
	if _, err := draining(t, h, drain(false)); err != nil {
		t.Fatal(err)
	}
	h.Archive["haproxy"] = append([]string{newHAProxy}, h.Archive["haproxy"]...)
	if _, err := draining(t, h, upgradeOf(false, "haproxy")); err != nil || h.Installed("haproxy") != newHAProxy || trackedText(t, h) != wordOut {
		t.Errorf("%v, haproxy %s, the tracked file says %q", err, h.Installed("haproxy"), trackedText(t, h))
	}
}

// TestUpgradeCutOff: an upgrade that was killed leaves a host that the next run lets in again, but for a user's own drain.
func TestUpgradeCutOff(t *testing.T) {
	const peer, vip = "198.51.100.12", "198.51.100.10"
	h := holder(t, "", peer, vip)
	h.Archive["haproxy"] = append([]string{newHAProxy}, h.Archive["haproxy"]...)
	var killed *fake.Host
	_, err := draining(t, h, func(ctx context.Context, r *reconcile.Reconciler, doc *api.Document) (reconcile.Result, error) {
		r.Await = func(context.Context) error { killed = h.Clone(); return nil }
		return upgradeOf(false, "haproxy")(ctx, r, doc)
	})
	if err != nil || killed == nil || trackedText(t, killed) != wordOut {
		t.Fatalf("%v, killed %v", err, killed)
	}
	drained := killed.Clone()
	must(t, killed, parse(t, spec+pairNodes))
	if got := trackedText(t, killed); got != wordIn {
		t.Errorf("after the next run the tracked file says %q", got)
	}
	if _, err := draining(t, drained, drain(true)); err != nil {
		t.Fatal(err)
	}
	must(t, drained, parse(t, spec+pairNodes))
	if got := trackedText(t, drained); got != wordOut {
		t.Errorf("after a user's drain the tracked file says %q", got)
	}
}
