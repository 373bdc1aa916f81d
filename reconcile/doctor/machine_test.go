package doctor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
)

const spec = `apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [198.51.100.100]
nodes:
- {name: lb1, addresses: [198.51.100.11]}
- {name: lb2, addresses: [198.51.100.12]}
services:
- name: api
  port: 9000
  servers:
  - {name: cp1, address: 198.51.100.21, port: 6443}
  - {name: cp2, address: 198.51.100.22, port: 6443}
`

const (
	own      = "02:00:c6:33:64:0b"
	peerMAC  = "02:00:c6:33:64:0c"
	stranger = "02:00:00:00:00:99"
)

var (
	vip   = netip.MustParseAddr("198.51.100.100")
	lb2   = netip.MustParseAddr("198.51.100.12")
	now   = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	other = netip.MustParseAddr("198.51.100.50")
)

// machine is a fake.Host with host.Diagnosis.
type machine struct {
	*fake.Host
	links   []host.Link
	routers []host.Router
	chains  []host.FilterChain
	sockets []host.Socket // in addition to those of fake.Host
	notes   []string
	units   map[string]host.UnitFiles
	managed map[string]host.Unit // replaces units of fake.Host
	files   map[string]string    // in addition to those of fake.Host
	memory  uint64
	answers map[string]host.ServerAnswer
	refuse  map[string]bool
	locked  error // the error of queries that need root
	spec    string
	reapply bool // apply the changed spec before the examination
}

// healthy returns a standby to which the agent has applied the spec. Its peer is MASTER.
func healthy(t *testing.T) *machine {
	t.Helper()
	m := &machine{
		Host: fake.New(), memory: 8 << 30, spec: spec,
		links: []host.Link{{Name: "lo", Index: 1, Up: true, Carrier: true, Loopback: true}, {Name: "eth0", Index: 2, MAC: own, Up: true, Carrier: true}},
		units: map[string]host.UnitFiles{
			host.HAProxyUnit:    {Fragment: "/lib/systemd/system/haproxy.service", DropIns: []string{"/etc/systemd/system/haproxy.service.d/rlb.conf"}, Descriptors: 1 << 20},
			host.KeepalivedUnit: {Fragment: "/lib/systemd/system/keepalived.service"},
		},
		managed: map[string]host.Unit{host.AgentUnit: {Name: host.AgentUnit, ActiveState: "active", UnitFileState: "enabled"}},
		files:   map[string]string{}, answers: map[string]host.ServerAnswer{}, refuse: map[string]bool{},
	}
	m.ListsTime = now.AddDate(0, 0, -1)
	m.Answers = map[netip.Addr]string{vip: peerMAC, lb2: peerMAC}
	m.routers = []host.Router{peerRouter()}
	m.Put("/etc/rlb/spec.yaml", spec, 0o644)
	m.apply(t)
	return m
}

// apply runs the reconciler once, so that the spec is in force.
func (m *machine) apply(t *testing.T) {
	t.Helper()
	doc, err := api.Parse("/etc/rlb/spec.yaml", []byte(m.spec))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) { // waits take no real time
		r := reconcile.Reconciler{Host: m.Host, Log: slog.New(slog.DiscardHandler), Rejoin: []string{"/usr/local/sbin/rlb-agent", "rejoin"}}
		if _, err := r.Once(t.Context(), doc); err != nil {
			t.Fatal(err)
		}
	})
	m.files["/run/rlb/status.json"] = fmt.Sprintf(`{"kind": "LoadBalancerStatus", "lastReconcile": {"time": %q, "result": "Converged"}}`, now.Add(-time.Minute).Format(time.RFC3339))
}

func peerRouter() host.Router {
	return host.Router{
		Family: api.IPv4, Version: 3, RouterID: 100, From: lb2, MAC: peerMAC, Priority: 254, Addresses: []netip.Addr{vip},
		Interval: 100 * time.Millisecond, Admitted: true,
	}
}

func (m *machine) examine(t *testing.T) Report {
	t.Helper()
	doc, err := api.Parse("/etc/rlb/spec.yaml", []byte(m.spec))
	if err != nil {
		t.Fatal(err)
	}
	return Examine(t.Context(), m, Options{Doc: doc, Listen: 3 * time.Second, Now: now})
}

func (m *machine) Links(context.Context) ([]host.Link, error) { return m.links, nil }

func (m *machine) Routers(context.Context, string, time.Duration) ([]host.Router, error) {
	return m.routers, m.locked
}

func (m *machine) FilterChains(context.Context) ([]host.FilterChain, []string, error) {
	return m.chains, m.notes, m.locked
}

func (m *machine) UnitFiles(_ context.Context, name string) (host.UnitFiles, error) {
	return m.units[name], nil
}

func (m *machine) Sockets(ctx context.Context) ([]host.Socket, error) {
	all, err := m.Host.Sockets(ctx)
	return append(all, m.sockets...), err
}

func (m *machine) Memory(context.Context) (uint64, error) { return m.memory, nil }

func (m *machine) Glob(_ context.Context, pattern string) (found []string, err error) {
	for name := range m.files {
		if ok, _ := path.Match(pattern, name); ok {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found, nil
}

func (m *machine) AskServer(_ context.Context, q host.ServerQuestion) (host.ServerAnswer, error) {
	if m.refuse[q.Address] {
		return host.ServerAnswer{}, errors.New("connection refused")
	}
	if a, ok := m.answers[q.Address]; ok {
		return a, nil
	}
	return host.ServerAnswer{Status: 200, Expires: now.AddDate(1, 0, 0)}, nil
}

func (m *machine) File(ctx context.Context, name string) (host.File, error) {
	if text, ok := m.files[name]; ok {
		return host.File{Path: name, Exists: true, Data: []byte(text), Mode: 0o755}, nil
	}
	return m.Host.File(ctx, name)
}

func (m *machine) Unit(ctx context.Context, name string) (host.Unit, error) {
	if u, ok := m.managed[name]; ok {
		return u, nil
	}
	return m.Host.Unit(ctx, name)
}

func text(r Report) string {
	var b strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%s: %s: %s: %s\n  fix: %s\n", f.Severity, f.Check, f.Title, f.Message, f.Fix)
	}
	for _, c := range r.Checks {
		fmt.Fprintf(&b, "%+v\n", c)
	}
	return b.String()
}
