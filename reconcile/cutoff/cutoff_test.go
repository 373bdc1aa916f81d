package cutoff

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
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

// haproxy is a HAProxy with servers in given states. It records the cuts.
type haproxy struct {
	*fake.Host
	mutex  sync.Mutex
	states map[string]string // state by server, "a" or "b"
	since  map[string]time.Time
	cut    []string
	fails  bool

	oldAsked int // number of CutOldSessions calls

	first, second host.RunningServer // server a
	asked         int                // number of RunningServers calls
	commands      []string
}

func (h *haproxy) RunningServers(context.Context) ([]host.RunningServer, error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.asked++
	return []host.RunningServer{h.first, h.second}, nil
}

func (h *haproxy) Runtime(_ context.Context, command string) error {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.commands = append(h.commands, command)
	return nil
}

func (h *haproxy) Servers(context.Context) (all []host.ServerState, err error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	for _, name := range []string{"a", "b"} {
		all = append(all, host.ServerState{Backend: "api", Name: name, State: h.states[name], Since: h.since[name], Checked: true, Weight: h.first.Weight})
	}
	if h.second.Name != "" {
		all = append(all, host.ServerState{Backend: "api:failopen", Name: "a", State: h.states["second"], Weight: h.second.Weight})
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

func (h *haproxy) CutOldSessions(ctx context.Context, servers []string) (int, error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.oldAsked++
	if h.fails {
		return 0, errors.New("it does not answer")
	}
	return h.Host.CutOldSessions(ctx, servers)
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

// wants waits for a time and checks what was cut since the last call.
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

// TestWrongStatus: a server that answers its check with a wrong status keeps its connections for cutAfter. They are cut
// then, once for each such period.
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
		h.set("a", "NOLB") // a reload between two looks made the period begin again
		h.wants(t, 59*time.Second)
		h.wants(t, 4*time.Second, "api/a", "api:failopen/a")
	})
}

// TestFailOpen: connections that were opened while all servers failed are cut once one server is up, and not before. The
// other servers get the time to come up too.
func TestFailOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		h.set("a", "DOWN")
		h.set("b", "DOWN")
		h.wants(t, time.Hour)
		h.set("b", "UP")
		h.wants(t, 3900*time.Millisecond)
		h.wants(t, 3*time.Second, "api:failopen/a")
		h.wants(t, time.Hour)
		h.set("b", "DOWN")
		h.wants(t, time.Hour)
		h.set("b", "UP")
		h.wants(t, 3*time.Second)
		h.set("a", "UP")
		h.wants(t, time.Hour)
	})
}

// TestNotEarly: connections are not cut early, although the time when a server entered its state is rounded to whole seconds
// twice.
func TestNotEarly(t *testing.T) {
	now := time.Now()
	for age, cuts := range map[time.Duration]bool{time.Minute + 1900*time.Millisecond: false, time.Minute + 2*time.Second: true} {
		due := map[place]time.Time{}
		service{name: "api", cutAfter: time.Minute}.due([]host.ServerState{{Name: "a", State: "NOLB", Since: now.Add(-age)}}, now, due)
		if len(due) > 0 != cuts {
			t.Errorf("it drains since %v by HAProxy's word: cut %v", age, !cuts)
		}
	}
}

// TestOldWorkers: an old worker runs no checks, so its connections to a server that is down are cut, once for each outage.
// Its other connections stay, also those to a server that only drains.
func TestOldWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		wants := func(what string, asked int, want ...string) {
			t.Helper()
			time.Sleep(3 * time.Second)
			synctest.Wait()
			h.mutex.Lock()
			defer h.mutex.Unlock()
			if got := slices.Sorted(maps.Keys(h.OldSessions)); h.oldAsked != asked || !slices.Equal(got, want) {
				t.Errorf("%s: old workers have %q after %d cuts, want %q after %d", what, got, h.oldAsked, want, asked)
			}
		}
		put := func(places ...string) {
			h.mutex.Lock()
			defer h.mutex.Unlock()
			h.OldSessions = map[string]int{}
			for _, p := range places {
				h.OldSessions[p] = 3
			}
		}
		put("api/a", "api/b", "gone/a", "plain/a")
		wants("all are up", 0, "api/a", "api/b", "gone/a", "plain/a")
		h.set("a", "NOLB")
		wants("a drains", 0, "api/a", "api/b", "gone/a", "plain/a")
		h.set("a", "DOWN")
		wants("a is down", 1, "api/b", "gone/a", "plain/a")
		time.Sleep(time.Hour)
		wants("still", 1, "api/b", "gone/a", "plain/a")
		h.set("a", "UP")
		put("api/a", "api/b")
		wants("a is up again", 1, "api/a", "api/b")
		h.failing(true)
		h.set("a", "DOWN")
		h.set("b", "DOWN")
		time.Sleep(time.Minute)
		h.failing(false)
		h.mutex.Lock()
		h.oldAsked = 0
		h.mutex.Unlock()
		wants("both are down, and HAProxy answers again", 1)
	})
}

// TestOldWorkersKeep: if the current worker does not cut the connections to a server that is down (profile classic), or
// runs no checks, old workers keep theirs too.
func TestOldWorkersKeep(t *testing.T) {
	for more, cuts := range map[string]bool{"": true, "  healthCheck: {type: none}\n": false, "profile: classic\n": false} {
		doc, err := api.Parse("spec.yaml", []byte(spec[:strings.Index(spec, "- name: api")]+spec[strings.Index(spec, "- name: plain"):]+more))
		if err != nil {
			t.Fatal(err)
		}
		c, due := &Cutter{}, map[place]time.Time{}
		c.ApplySpec(&doc.Spec)
		for _, s := range c.services {
			s.dueOld([]host.ServerState{{Name: "a", State: "DOWN"}}, due)
		}
		if len(due) > 0 != cuts {
			t.Errorf("%q: %v", more, due)
		}
	}
}

// TestCutFails: a cut that failed is tried again.
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

// TestMaintenance: what somebody sets for a server in the running HAProxy is set in the fail-open backend too, and taken
// back there too. While both agree, HAProxy gets no additional queries.
func TestMaintenance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		h.set("b", "UP")
		server := func(backend string, admin host.AdminState, weight int) host.RunningServer {
			return host.RunningServer{Backend: backend, Name: "a", Admin: admin, Weight: weight}
		}
		const ready, drain, maint = host.AdminReady, host.AdminDrain, host.AdminMaint
		for _, tt := range []struct {
			what          string
			state, second string // HAProxy's words
			first, other  host.RunningServer
			want          []string
		}{
			{"both serve", "UP", "no check", server("api", ready, 1), server("api:failopen", ready, 1), nil},
			{"maintenance", "MAINT", "no check", server("api", maint, 1), server("api:failopen", ready, 1), []string{"set server api:failopen/a state maint"}},
			{"it has followed", "MAINT", "MAINT", server("api", maint, 1), server("api:failopen", maint, 1), nil},
			{"and ended", "UP 1/3", "MAINT", server("api", ready, 1), server("api:failopen", maint, 1), []string{"set server api:failopen/a state ready"}},
			{"drained", "DRAIN", "no check", server("api", drain, 1), server("api:failopen", ready, 1), []string{"set server api:failopen/a state drain"}},
			{"weight 0", "UP", "no check", server("api", ready, 0), server("api:failopen", ready, 1), []string{"set server api:failopen/a weight 0%"}},
			{"no weight 0 any more", "UP", "no check", server("api", ready, 7), server("api:failopen", ready, 0), []string{"set server api:failopen/a weight 100%"}},
			{"weight 0 by the spec", "UP", "no check", server("api", ready, 0), server("api:failopen", ready, 0), nil},
		} {
			h.set("a", tt.state)
			h.set("second", tt.second)
			h.mutex.Lock()
			h.first, h.second, h.asked, h.commands = tt.first, tt.other, 0, nil
			h.mutex.Unlock()
			time.Sleep(lookEvery)
			synctest.Wait()
			h.mutex.Lock()
			if !slices.Equal(h.commands, tt.want) {
				t.Errorf("%s: %q, want %q", tt.what, h.commands, tt.want)
			}
			if alike := tt.first.Admin == tt.other.Admin && tt.first.Weight == tt.other.Weight; alike && h.asked > 0 {
				t.Errorf("%s: asked for the running servers", tt.what)
			}
			h.mutex.Unlock()
		}
	})
}
