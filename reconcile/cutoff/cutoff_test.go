package cutoff

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
)

const spec = `apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [198.51.100.100]
services:
- name: api
  port: 9000
  healthCheck: {cutAfter: 60s}
  servers:
  - {name: a, address: 198.51.100.21, port: 6443}
  - {name: b, address: 198.51.100.22, port: 6443}
- name: plain
  port: 9001
  servers: [{name: a, address: 198.51.100.21}]
`

// haproxy says what its servers are, and records what is cut.
type haproxy struct {
	*fake.Host
	mutex  sync.Mutex
	states map[string]string // "a" or "b": its state
	since  map[string]time.Time
	cut    []string
	fails  bool
}

func (h *haproxy) Servers(context.Context) (all []host.ServerState, err error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	for _, name := range []string{"a", "b"} {
		all = append(all, host.ServerState{Backend: "api", Name: name, State: h.states[name], Since: h.since[name], Checked: true})
	}
	return append(all, host.ServerState{Backend: "plain", Name: "a", State: "NOLB"}), nil
}

func (h *haproxy) CutSessions(_ context.Context, backend, server string) error {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.fails {
		return errors.New("it does not answer")
	}
	h.cut = append(h.cut, backend+"/"+server)
	return nil
}

func (h *haproxy) set(name, state string) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.states[name], h.since[name] = state, time.Now()
}

func (h *haproxy) failing(fails bool) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.fails = fails
}

func start(t *testing.T) *haproxy {
	t.Helper()
	h := &haproxy{Host: fake.New(), states: map[string]string{"a": "UP", "b": "UP"}, since: map[string]time.Time{}}
	doc, err := api.Parse("spec.yaml", []byte(spec))
	if err != nil {
		t.Fatal(err)
	}
	c := &Cutter{Host: h, Log: slog.New(slog.DiscardHandler)}
	c.ApplySpec(&doc.Spec)
	go c.Run(t.Context())
	return h
}

// wants waits, and sees what was cut since.
func (h *haproxy) wants(t *testing.T, after time.Duration, want ...string) {
	t.Helper()
	time.Sleep(after)
	synctest.Wait()
	h.mutex.Lock()
	defer h.mutex.Unlock()
	slices.Sort(h.cut)
	if !slices.Equal(h.cut, want) {
		t.Errorf("cut %q, want %q", h.cut, want)
	}
	h.cut = nil
}

// A server that answers wrongly keeps its connections for cutAfter and loses them then, once for each time.
func TestWrongStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		h.set("a", "NOLB")
		h.wants(t, 59*time.Second)
		h.wants(t, 4*time.Second, "api/a", "api:failopen/a")
		h.wants(t, time.Hour)
		h.set("a", "UP")
		h.wants(t, time.Minute)
		h.set("a", "NOLB 1/2")
		h.wants(t, 59*time.Second)
		h.wants(t, 4*time.Second, "api/a", "api:failopen/a")
		h.set("a", "NOLB") // a reload began it anew between two looks
		h.wants(t, 59*time.Second)
		h.wants(t, 4*time.Second, "api/a", "api:failopen/a")
	})
}

// What was opened while all servers failed is cut once one of them is up, and not before.
func TestFailOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		h.set("a", "DOWN")
		h.set("b", "DOWN")
		h.wants(t, time.Hour)
		h.set("b", "UP")
		h.wants(t, 3*time.Second, "api:failopen/a")
		h.wants(t, time.Hour)
	})
}

// What could not be cut is tried again.
func TestCutFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		h.set("b", "UP")
		h.set("a", "NOLB")
		h.failing(true)
		h.wants(t, 90*time.Second)
		h.failing(false)
		h.wants(t, 3*time.Second, "api/a", "api:failopen/a")
	})
}
