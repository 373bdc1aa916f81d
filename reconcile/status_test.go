package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
	"rlb.dev/rlb-agent/render"
)

const pairNodes = `nodes:
- {name: lb1, addresses: [198.51.100.11]}
- {name: lb2, addresses: [198.51.100.12]}
`

// nodesOf are the nodes of a spec for so many load balancers: lb1 at 198.51.100.11, which is the fake host, and so on.
func nodesOf(count int) string {
	text := "nodes:\n"
	for i := range count {
		text += fmt.Sprintf("- {name: lb%d, addresses: [198.51.100.%d]}\n", i+1, 11+i)
	}
	return text
}

// statusOf reads the present status of a host.
func statusOf(t *testing.T, h *fake.Host, doc *api.Document, specErr error) (s status.Status) {
	t.Helper()
	before := h.Dump()
	synctest.Test(t, func(t *testing.T) {
		var err error
		if s, err = status.Read(t.Context(), h, doc, specErr, status.Known{}); err != nil {
			t.Fatal(err)
		}
	})
	same(t, "a look at the status", h, before)
	return s
}

// report runs the agent and writes the status.
func report(t *testing.T, h *fake.Host, doc *api.Document) (s status.Status) {
	t.Helper()
	result, _, runErr := once(t, h, doc)
	synctest.Test(t, func(t *testing.T) {
		var err error
		if s, err = status.Write(t.Context(), h, status.Report{Doc: doc, Result: result, Err: runErr}); err != nil {
			t.Fatal(err)
		}
	})
	return s
}

// wantCondition checks status and reason, and that the message contains words.
func wantCondition(t *testing.T, s status.Status, kind, status, reason, words string) {
	t.Helper()
	c := s.Condition(kind)
	if c.Status != status || c.Reason != reason || !strings.Contains(c.Message, words) {
		t.Errorf("%s is %s, %s, %q; want %s, %s, …%s…", kind, c.Status, c.Reason, c.Message, status, reason, words)
	}
}

// TestFailOpen: servers that all fail their checks still get the connections, and the second backend of the service is not
// shown as more servers. A server with a wrong status is not up either.
func TestFailOpen(t *testing.T) {
	doc := parse(t, strings.Replace(spec, "  port: 9000", "  port: 9000\n  failOpen: true", 1))
	h := installed(t, doc)
	if s := statusOf(t, h, doc, nil); len(s.Services[0].Servers) != 1 {
		t.Errorf("servers: %+v", s.Services[0].Servers)
	}
	wantCondition(t, statusOf(t, h, doc, nil), "Serving", "True", "StandingBy", "")
	h.Sick = "198.51.100.21"
	s := statusOf(t, h, doc, nil)
	wantCondition(t, s, "Serving", "True", "FailOpen", "service web has no server that is up: new connections go to all of them")
	wantCondition(t, s, "Ready", "True", "InSyncAndServing", "")
	if !s.Services[0].FailOpen {
		t.Error("the service fails open, and its status does not say so")
	}
	if noLB := (host.ServerState{State: "NOLB"}); noLB.Up() {
		t.Error("NOLB is up")
	}
}

// TestFailsOpenAsHAProxyDoes: a service fails open if HAProxy sends new connections to failing servers. A drained server
// does not prevent this. If an administrator took all servers out, no server gets any.
func TestFailsOpenAsHAProxyDoes(t *testing.T) {
	doc := parse(t, strings.Replace(spec, "  port: 9000", "  port: 9000\n  failOpen: true", 1)+"  - {address: 198.51.100.22, weight: 0}\n")
	h := installed(t, doc)
	if s := statusOf(t, h, doc, nil); s.Services[0].FailOpen {
		t.Errorf("fails open: %+v", s.Services[0].Servers)
	}
	h.Sick = "198.51.100.21"
	s := statusOf(t, h, doc, nil)
	if !s.Services[0].FailOpen {
		t.Errorf("does not fail open: %+v", s.Services[0].Servers)
	}
	wantCondition(t, s, "Serving", "True", "FailOpen", "")
	h.Sick = ""
	for _, name := range []string{"server1", "server2"} {
		h.Admin(func(ctx context.Context, r host.Host) error {
			return r.Runtime(ctx, "set server web/"+name+" state maint")
		})
	}
	if s = statusOf(t, h, doc, nil); s.Services[0].FailOpen {
		t.Errorf("fails open: %+v", s.Services[0].Servers)
	}
	wantCondition(t, s, "Serving", "False", "NoServerUp", "")
}

// TestServicesListenDuringAReload: while HAProxy reloads, the old worker listens, so every service is shown as listening.
func TestServicesListenDuringAReload(t *testing.T) {
	doc := parse(t, spec)
	h := installed(t, doc)
	h.Reloading = true
	if s := statusOf(t, h, doc, nil); !s.Services[0].Listening {
		t.Errorf("not listening: %+v", s.Conditions)
	}
	h.Deaf = true
	if s := statusOf(t, h, doc, nil); s.Services[0].Listening {
		t.Error("listening where nobody does")
	}
}

func hold(h *fake.Host, addr string) {
	h.Net[1].Prefixes = append(h.Net[1].Prefixes, netip.PrefixFrom(netip.MustParseAddr(addr), 32))
}

// TestConditions: the conditions of a host and their reasons.
func TestConditions(t *testing.T) {
	good := parse(t, spec+pairNodes)
	stop := func(unit string) func(*fake.Host) {
		return func(h *fake.Host) {
			h.Admin(func(ctx context.Context, r host.Host) error { return r.StopUnit(ctx, unit) })
		}
	}
	put := func(path, text string) func(*fake.Host) {
		return func(h *fake.Host) { h.Put(path, text, 0o600) }
	}
	const claim = "a device answers for 198.51.100.10"
	type want struct{ kind, status, reason, words string }
	for name, test := range map[string]struct {
		change func(*fake.Host)
		want   []want
	}{
		"standby": {nil, []want{{"Ready", "True", "InSyncAndServing", ""}, {"Serving", "True", "StandingBy", ""}, {"InSync", "True", "InSync", ""},
			{"SpecValid", "True", "Accepted", ""}}},
		"active": {func(h *fake.Host) { h.Role = host.RoleMaster; hold(h, "198.51.100.10") },
			[]want{{"Ready", "True", "InSyncAndServing", ""}, {"Serving", "True", "Active", ""}}},
		"master without the address": {func(h *fake.Host) { h.Role = host.RoleMaster },
			[]want{{"Ready", "False", "NotServing", ""}, {"Serving", "False", "VirtualIPMissing", "lacks 198.51.100.10"}}},
		"standby with the address": {func(h *fake.Host) { hold(h, "198.51.100.10") },
			[]want{{"Serving", "False", "VirtualIPLeftBehind", "the role is BACKUP, but the interface still holds 198.51.100.10"}}},
		"two of them": {func(h *fake.Host) {
			h.Role = host.RoleMaster
			hold(h, "198.51.100.10")
			put(state.GuardFile, `{"haproxy": "answers", "conflict": "another host holds 198.51.100.10 too"}`)(h)
		}, []want{{"Serving", "False", "SecondHolder", "another host holds"}}},
		"a device that serves nothing": {func(h *fake.Host) {
			h.Role = host.RoleMaster
			hold(h, "198.51.100.10")
			put(state.GuardFile, `{"haproxy": "answers", "claimed": "`+claim+`"}`)(h)
		}, []want{{"Ready", "True", "InSyncAndServing", ""}, {"Serving", "True", "Active", ""}}},
		"fault": {func(h *fake.Host) {
			h.Role = host.RoleFault
			put(state.GuardFile, `{"fault": true, "reason": "HAProxy answers nothing", "haproxy": "hung"}`)(h)
		}, []want{{"Serving", "False", "HAProxyHung", "must not hold the virtual IPs: HAProxy answers nothing"}}},
		"drained": {func(h *fake.Host) { h.Role = host.RoleFault; put(render.DrainFile, "1\n")(h) },
			[]want{{"Ready", "True", "Drained", ""}, {"Serving", "True", "Drained", "leaves the virtual IPs to its peers"}}},
		"drained and broken": {func(h *fake.Host) {
			h.Role = host.RoleFault
			put(render.DrainFile, "1\n")(h)
			stop("haproxy.service")(h)
		},
			[]want{{"Ready", "False", "NotInSync", ""}, {"Serving", "False", "HAProxyStopped", "inactive"}}},
		"full": {put(state.GuardFile, `{"haproxy": "full"}`),
			[]want{{"Serving", "True", "StandingBy", "limit of connections"}, {"Ready", "True", "InSyncAndServing", ""}}},
		"no server": {func(h *fake.Host) { h.Sick = "198.51.100.21" },
			[]want{{"Serving", "False", "NoServerUp", "service web has no server that is up"}, {"InSync", "True", "InSync", ""}}},
		"haproxy stopped": {stop("haproxy.service"), []want{{"Serving", "False", "HAProxyStopped", "haproxy is not running"},
			{"InSync", "False", "Drifted", "still to do: start haproxy"}, {"Ready", "False", "NotInSync", "haproxy is not running"}}},
		"keepalived stopped": {stop("keepalived.service"), []want{{"Serving", "False", "KeepalivedStopped", "keepalived is not running"}}},
		"drift":              {put("/etc/haproxy/haproxy.cfg", "# by hand\n"), []want{{"InSync", "False", "Drifted", "haproxy.cfg"}, {"Serving", "True", "StandingBy", ""}}},
		"drift that stays": {func(h *fake.Host) {
			put("/etc/haproxy/haproxy.cfg", "# by hand\n")(h)
			put(state.DriftFile, `{"found": 9, "repaired": 8, "last": {"repaired": false, "by": "ansible (process 7)", "error": "waiting 4m"}}`)(h)
		}, []want{{"InSync", "False", "DriftNotRepaired", "; waiting 4m; changed by ansible (process 7)"}}},
		"not to be looked at": {func(h *fake.Host) { h.FailMethod("Firewall", host.ErrUnavailable) },
			[]want{{"InSync", "Unknown", "NotSeen", "firewall"}, {"Ready", "Unknown", "NotInSync", ""}}},
		"haproxy does not tell": {func(h *fake.Host) { h.FailMethod("Servers", errors.New("cannot ask")) },
			[]want{{"Serving", "Unknown", "NotSeen", ""}}},
		"keepalived does not report": {func(h *fake.Host) { h.FailMethod("VRRP", host.ErrUnavailable) },
			[]want{{"Serving", "True", "RoleUnknown", ""}}},
		"the interface is gone": {func(h *fake.Host) {
			h.Net = h.Net[:1]
			h.Admin(removes(memoryFiles...))
		},
			[]want{{"InSync", "False", "HostLacks", "none of their addresses"}}},
	} {
		t.Run(name, func(t *testing.T) {
			h := installed(t, good)
			if test.change != nil {
				test.change(h)
			}
			s := statusOf(t, h, good, nil)
			for _, w := range test.want {
				wantCondition(t, s, w.kind, w.status, w.reason, w.words)
			}
			told := strings.Contains(status.Text(status.Rows(s, time.Now()), 0), claim)
			if claimed := strings.HasPrefix(name, "a device"); told != claimed || claimed != (s.Claimed == claim) {
				t.Errorf("the claim %q is told of: %t", s.Claimed, told)
			}
		})
	}
}

// TestStatusWhileTheSpecIsRefused: a refused spec file does not hide the state of the host, which is compared with the last
// spec in force.
func TestStatusWhileTheSpecIsRefused(t *testing.T) {
	good := parse(t, spec)
	h := installed(t, good)
	refused := errors.New("spec.yaml:9:1: proxi: unknown field")
	s := statusOf(t, h, nil, refused)
	wantCondition(t, s, "SpecValid", "False", "Refused", "proxi: unknown field")
	wantCondition(t, s, "Ready", "False", "SpecInvalid", "proxi")
	wantCondition(t, s, "InSync", "True", "InSync", "")
	wantCondition(t, s, "Serving", "True", "StandingBy", "")
	if s.Generation != 2 || s.ObservedGeneration != 1 || s.SpecDigest != "" || len(s.Services) != 1 {
		t.Errorf("generation %d, observed %d, digest %q, services %v", s.Generation, s.ObservedGeneration, s.SpecDigest, s.Services)
	}
	// meanwhile the daemon keeps the last good spec, and reports the refused one
	result := must(t, h, good)
	s, err := status.Write(t.Context(), h, status.Report{Doc: good, Refused: refused, Result: result})
	if err != nil || s.LastReconcile.Result != status.Refused || s.LastReconcile.Error != refused.Error() {
		t.Errorf("%v, last %+v", err, s.LastReconcile)
	}
	// on a host that never had a good spec, only the refusal is reported
	s = statusOf(t, fake.New(), nil, refused)
	wantCondition(t, s, "Ready", "False", "SpecRefused", "proxi")
}

// ordinary is a host as an ordinary user sees it: some files can only be read by root, and some programs only asked by
// root.
type ordinary struct{ *fake.Host }

func (o ordinary) File(ctx context.Context, path string) (host.File, error) {
	f, err := o.Host.File(ctx, path)
	if err == nil && f.Exists && f.Mode&0o004 == 0 {
		return host.File{}, fmt.Errorf("cannot read %s: permission denied: %w", path, host.ErrUnavailable)
	}
	return f, err
}

func (o ordinary) VRRP(context.Context, int) ([]host.Instance, error) {
	return nil, fmt.Errorf("cannot ask keepalived: %w", host.ErrUnavailable)
}

// TestStatusOfAnOrdinaryUser: an ordinary user is not shown that the spec file is in force, nor that it is pending: only
// root can see this.
func TestStatusOfAnOrdinaryUser(t *testing.T) {
	look := func(h *fake.Host, doc *api.Document, specErr error) (s status.Status) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			var err error
			if s, err = status.Read(t.Context(), ordinary{h}, doc, specErr, status.Known{}); err != nil {
				t.Fatal(err)
			}
		})
		s.Partial = true
		return s
	}
	h := installed(t, parse(t, spec))
	hold(h, "198.51.100.10")
	for name, doc := range map[string]*api.Document{"in force": parse(t, spec), "edited": edited(t, "198.51.100.10", "198.51.100.9")} {
		s := look(h, doc, nil)
		if !s.FromFile || s.PendingSpec != nil || s.Generation != 0 || s.ObservedGeneration != 0 || len(s.Pending) > 0 {
			t.Errorf("%s: from the file: %t, generation %d of %d, pending %+v, %q", name, s.FromFile, s.ObservedGeneration, s.Generation, s.PendingSpec, s.Pending)
		}
		for _, kind := range []string{"SpecValid", "InSync", "Ready"} {
			if c := s.Condition(kind); c.Status != "Unknown" {
				t.Errorf("%s: %s is %s: %s", name, kind, c.Status, c.Message)
			}
		}
		text := status.Text(status.Rows(s, time.Now()), 0)
		want := map[string]string{"in force": "198.51.100.10  held by this host (from the spec file, which", "edited": "198.51.100.9  not held by this host (from the spec file, which"}[name]
		if !strings.Contains(text, want) || !strings.Contains(text, "to see: ") || strings.Count(text, "the spec in force") != 1 {
			t.Errorf("%s: no %q in\n%s", name, want, text)
		}
	}
	refused := look(h, nil, errors.New("spec.yaml:9:1: proxi: unknown field"))
	wantCondition(t, refused, "SpecValid", "False", "Refused", "proxi: unknown field")
	if len(refused.VirtualIPs) > 0 || refused.PendingSpec != nil {
		t.Errorf("of a refused spec file: %+v", refused)
	}
	unread := look(h, nil, fmt.Errorf("cannot read the spec: %w", fs.ErrPermission))
	wantCondition(t, unread, "SpecValid", "Unknown", "NotSeen", "permission denied")
	wantCondition(t, unread, "Ready", "Unknown", "NotSeen", "permission denied")
	// if no spec was ever in force, this is no secret
	if s := look(fake.New(), parse(t, spec), nil); s.FromFile || s.PendingSpec == nil {
		t.Errorf("a new host: %+v", s)
	}
}

// TestSpecRefusedByThePrograms: a spec that the programs refuse is invalid too, until the file changes.
func TestSpecRefusedByThePrograms(t *testing.T) {
	h := installed(t, parse(t, spec))
	edit := edited(t, "9000", "9001")
	h.Forbidden["haproxy"] = "9001"
	s := report(t, h, edit)
	wantCondition(t, s, "SpecValid", "False", "RefusedByThisHost", "unknown keyword")
	wantCondition(t, s, "InSync", "True", "InSync", "")
	if p := s.PendingSpec; p == nil || p.Generation != 2 || !p.Refused || s.Services[0].Port != 9000 || !s.Is("Serving") {
		t.Errorf("pending %+v, services %+v", p, s.Services)
	}
	if s.LastReconcile.Result != status.Refused {
		t.Errorf("last %+v", s.LastReconcile)
	}
	wantCondition(t, statusOf(t, h, edit, nil), "SpecValid", "False", "RefusedByThisHost", "")
	wantCondition(t, statusOf(t, h, parse(t, spec), nil), "SpecValid", "True", "Accepted", "")
}

// TestStatusOfPendingSpec: the host is compared with the spec in force, not with the pending one. An obstacle that is gone
// is no longer reported.
func TestStatusOfPendingSpec(t *testing.T) {
	edit := edited(t, "9000", "9001")
	for name, test := range map[string]struct {
		block, free func(*fake.Host)
		why         string
	}{
		"port": {func(h *fake.Host) { h.Taken = map[uint16]string{9001: "perl"} }, func(h *fake.Host) { h.Taken = nil }, "9001 is taken by perl"},
		"address": {func(h *fake.Host) { h.Answers = answering("198.51.100.9", strangerMAC) }, func(h *fake.Host) { h.Answers = nil },
			"another machine has 198.51.100.9: MAC " + strangerMAC},
		"script": {func(h *fake.Host) {}, func(h *fake.Host) { h.Put("/usr/local/bin/told", "#!/bin/sh\n", 0o755) }, "there is no file /usr/local/bin/told"},
	} {
		t.Run(name, func(t *testing.T) {
			doc := edit
			switch name {
			case "address":
				doc = edited(t, "198.51.100.10", "198.51.100.9")
			case "script":
				doc = parse(t, spec+"vrrp: {notify: {master: /usr/local/bin/told}}\n")
			}
			h := installed(t, parse(t, spec))
			test.block(h)
			for _, s := range []status.Status{report(t, h, doc), statusOf(t, h, doc, nil)} {
				wantCondition(t, s, "SpecValid", "False", "RefusedByThisHost", test.why)
				wantCondition(t, s, "InSync", "True", "InSync", "")
				wantCondition(t, s, "Serving", "True", "StandingBy", "")
				if p := s.PendingSpec; p == nil || p.Generation != 2 || !p.Refused || s.ObservedGeneration != 1 || s.Services[0].Port != 9000 || s.VirtualIPs[0].Address != "198.51.100.10" {
					t.Errorf("pending %+v of %+v", p, s)
				}
			}
			test.free(h)
			s := statusOf(t, h, doc, nil)
			wantCondition(t, s, "SpecValid", "True", "Accepted", "")
			wantCondition(t, s, "InSync", "False", "NotYetApplied", "still to do: ")
			if p := s.PendingSpec; p == nil || p.Refused || s.Services[0].Port != 9000 {
				t.Errorf("pending %+v of %+v", p, s)
			}
			if s := report(t, h, doc); s.PendingSpec != nil || !s.Is("Ready") {
				t.Errorf("in force: %+v", s)
			}
		})
	}
}

// TestAgentRunning: the agent must run if it starts at boot. Hosts that use only --once do not enable it.
func TestAgentRunning(t *testing.T) {
	doc := parse(t, spec)
	h := installed(t, doc)
	if s := statusOf(t, h, doc, nil); s.Agent != nil || s.Condition("AgentRunning").Type != "" {
		t.Errorf("not installed: %+v", s.Agent)
	}
	h.Put("/etc/systemd/system/rlb-agent.service", "[Service]\n", 0o644)
	if s := statusOf(t, h, doc, nil); s.Agent == nil || s.Agent.Running || !s.Is("Ready") {
		t.Errorf("not enabled: %+v", s.Agent)
	}
	admin := func(change func(context.Context, host.Host) error) { h.Admin(change) }
	admin(func(ctx context.Context, h host.Host) error { return h.EnableUnit(ctx, host.AgentUnit) })
	s := statusOf(t, h, doc, nil)
	wantCondition(t, s, "AgentRunning", "False", "NotRunning", "systemctl start rlb-agent")
	wantCondition(t, s, "Ready", "False", "AgentNotRunning", "rlb-agent.service is enabled, and not running")
	admin(func(ctx context.Context, h host.Host) error { return h.StartUnit(ctx, host.AgentUnit) })
	wantCondition(t, statusOf(t, h, doc, nil), "Ready", "True", "InSyncAndServing", "")
}

// TestTransitionTimes: a transition time stays while the status stays, also across processes.
func TestTransitionTimes(t *testing.T) {
	good := parse(t, spec)
	h := installed(t, good)
	first := report(t, h, good)
	for kind, sick := range map[string]string{"well": "", "ill": "198.51.100.21"} {
		h.Sick = sick
		old := first
		old.Conditions[0].LastTransitionTime = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		for i := range old.Conditions {
			old.Conditions[i].LastTransitionTime = old.Conditions[0].LastTransitionTime
		}
		if err := old.Write(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		s := statusOf(t, h, good, nil)
		if at := s.Condition("InSync").LastTransitionTime; at.Year() != 2020 {
			t.Errorf("%s: InSync changed at %v", kind, at)
		}
		if at := s.Condition("Serving").LastTransitionTime; (at.Year() == 2020) != (sick == "") {
			t.Errorf("%s: Serving changed at %v", kind, at)
		}
	}
}

// TestPeers: a peer is seen by its advertisements on the standby of a pair, else because its address answers.
func TestPeers(t *testing.T) {
	answers := func(addrs ...string) map[netip.Addr]string {
		all := map[netip.Addr]string{}
		for _, a := range addrs {
			all[netip.MustParseAddr(a)] = "02:00:00:00:00:01"
		}
		return all
	}
	for name, test := range map[string]struct {
		nodes   string
		role    host.Role
		answers map[netip.Addr]string
		fail    error
		want    string
	}{
		"no nodes":           {"", host.RoleBackup, nil, nil, ""},
		"standby of two":     {pairNodes, host.RoleBackup, nil, nil, "lb2 198.51.100.12 Seen"},
		"active, peer there": {pairNodes, host.RoleMaster, answers("198.51.100.12"), nil, "lb2 198.51.100.12 Seen"},
		"active, peer gone":  {pairNodes, host.RoleMaster, nil, nil, "lb2 198.51.100.12 NotSeen"},
		"in fault":           {pairNodes, host.RoleFault, nil, nil, "lb2 198.51.100.12 NotSeen"},
		"standby of three":   {nodesOf(3), host.RoleBackup, answers("198.51.100.13"), nil, "lb2 198.51.100.12 NotSeen, lb3 198.51.100.13 Seen"},
		"active of seven": {nodesOf(7), host.RoleMaster, answers("198.51.100.13", "198.51.100.17"), nil, "lb2 198.51.100.12 NotSeen, lb3 198.51.100.13 Seen, " +
			"lb4 198.51.100.14 NotSeen, lb5 198.51.100.15 NotSeen, lb6 198.51.100.16 NotSeen, lb7 198.51.100.17 Seen"},
		"cannot ask": {pairNodes, host.RoleMaster, nil, host.ErrUnavailable, "lb2 198.51.100.12 Unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			doc := parse(t, spec+test.nodes)
			h := installed(t, doc)
			h.Role, h.Answers = test.role, test.answers
			h.FailMethod("Neighbours", test.fail)
			var got []string
			for _, p := range statusOf(t, h, doc, nil).Peers {
				got = append(got, p.Name+" "+p.Address+" "+string(p.State))
			}
			if strings.Join(got, ", ") != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestRoleReason: the reason of the role is the one that the daemon recorded, if the role is still the same.
func TestRoleReason(t *testing.T) {
	doc := parse(t, spec)
	for name, test := range map[string]struct {
		role, seen host.Role
		drained    bool
		want       string
		years      int
	}{
		"seen by the daemon": {host.RoleMaster, host.RoleMaster, false, "lb2 was silent", 2026},
		"another since":      {host.RoleBackup, host.RoleMaster, false, "", 2026},
		"drained":            {host.RoleFault, host.RoleMaster, true, "drained (rlb-agent undrain ends that)", 2026},
	} {
		t.Run(name, func(t *testing.T) {
			h := installed(t, doc)
			h.Role = test.role
			record := state.RoleRecord{Role: test.seen, Since: time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC), Reason: "lb2 was silent"}
			if err := record.Write(t.Context(), h); err != nil {
				t.Fatal(err)
			}
			if test.drained {
				h.Put(render.DrainFile, "1\n", 0o600)
			}
			s := statusOf(t, h, doc, nil)
			if s.Role != test.role || s.RoleReason != test.want || s.Drained != test.drained || s.RoleSince.Year() != test.years {
				t.Errorf("role %s since %v, reason %q, drained %t", s.Role, s.RoleSince, s.RoleReason, s.Drained)
			}
			if sameRole := test.role == test.seen; sameRole != s.RoleSince.Equal(record.Since) {
				t.Errorf("since %v", s.RoleSince)
			}
		})
	}
}

// TestStatusWaitsForKeepalived: keepalived is not asked just after its start: the signal would kill it.
func TestStatusWaitsForKeepalived(t *testing.T) {
	doc := parse(t, spec)
	h := installed(t, doc)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		asked := &lateObserver{Host: h, started: began.Add(-100 * time.Millisecond)}
		if _, err := status.Read(t.Context(), asked, doc, nil, status.Known{}); err != nil {
			t.Fatal(err)
		}
		if waited := asked.at.Sub(began); waited < 400*time.Millisecond || waited > 500*time.Millisecond {
			t.Errorf("keepalived, started 100 ms ago, was asked after %v", waited)
		}
	})
}

// lateAgent answers for the agent's unit only after keepalived was asked for its role.
type lateAgent struct {
	*fake.Host
	asked chan struct{}
}

func (o *lateAgent) VRRP(ctx context.Context, pid int) ([]host.Instance, error) {
	close(o.asked)
	return o.Host.VRRP(ctx, pid)
}

func (o *lateAgent) Unit(ctx context.Context, name string) (host.Unit, error) {
	if name == host.AgentUnit {
		if err := await(o.asked, "keepalived is not asked for its role"); err != nil {
			return host.Unit{}, err
		}
	}
	return o.Host.Unit(ctx, name)
}

// TestStatusAsksKeepalivedMeanwhile: keepalived is asked once, while systemd is asked: each takes some milliseconds, and a
// run ends with the status.
func TestStatusAsksKeepalivedMeanwhile(t *testing.T) {
	doc := parse(t, spec)
	h := &lateAgent{Host: installed(t, doc), asked: make(chan struct{})}
	look, err := plan.FactFinder{Observer: h.Host}.Look(t.Context(), &doc.Spec)
	if err != nil {
		t.Fatal(err)
	}
	s, err := status.Write(t.Context(), h, status.Report{Doc: doc, Result: reconcile.Result{Look: &look}})
	if err != nil || len(s.NotSeen) > 0 || s.Role != host.RoleBackup {
		t.Errorf("%v, not seen: %q, role %s", err, s.NotSeen, s.Role)
	}
}

// TestStatusAsksKeepalivedSeldom: keepalived logs each question. So the status uses keepalived's last answer again if the
// daemon runs and nothing contradicts the answer.
func TestStatusAsksKeepalivedSeldom(t *testing.T) {
	const vip = "198.51.100.10"
	doc := parse(t, spec)
	stop := func(unit string) func(*fake.Host) {
		return func(h *fake.Host) {
			h.Admin(func(ctx context.Context, r host.Host) error { return r.StopUnit(ctx, unit) })
		}
	}
	for name, test := range map[string]struct {
		role   host.Role
		wait   time.Duration      // between the daemon's look and the status
		change func(h *fake.Host) // meanwhile
		log    string             // what keepalived's log shows: "same", "changed", or "" where nobody can tell
		asks   bool
	}{
		"standby":                       {role: host.RoleBackup},
		"active host":                   {role: host.RoleMaster},
		"4 s later":                     {role: host.RoleBackup, wait: 4 * time.Second},
		"6 s later":                     {role: host.RoleBackup, wait: 6 * time.Second, asks: true},
		"65 s later, the log is quiet":  {role: host.RoleBackup, wait: 65 * time.Second, log: "same"},
		"65 s later, it is not":         {role: host.RoleBackup, wait: 65 * time.Second, log: "changed", asks: true},
		"quiet, but a virtual IP came":  {role: host.RoleBackup, wait: 65 * time.Second, log: "same", change: func(h *fake.Host) { hold(h, vip) }, asks: true},
		"FAULT":                         {role: host.RoleFault, asks: true},
		"a virtual IP came":             {role: host.RoleBackup, change: func(h *fake.Host) { hold(h, vip) }, asks: true},
		"a virtual IP went":             {role: host.RoleMaster, change: func(h *fake.Host) { h.Net[1].Prefixes = h.Net[1].Prefixes[:3] }, asks: true},
		"the daemon does not run":       {role: host.RoleBackup, change: stop(host.AgentUnit), asks: true},
		"HAProxy does not run":          {role: host.RoleBackup, change: stop(host.HAProxyUnit), asks: true},
		"it is drained":                 {role: host.RoleBackup, change: func(h *fake.Host) { h.Put(render.DrainFile, "1\n", 0o600) }, asks: true},
		"HAProxy hangs":                 {role: host.RoleBackup, change: func(h *fake.Host) { h.Put(state.GuardFile, `{"fault": true}`, 0o600) }, asks: true},
		"the daemon noted another role": {role: host.RoleBackup, change: func(h *fake.Host) { h.Put(state.RoleFile, `{"role": "FAULT"}`, 0o600) }, asks: true},
	} {
		t.Run(name, func(t *testing.T) {
			h := installed(t, doc)
			h.Put("/etc/systemd/system/rlb-agent.service", "[Service]\n", 0o644)
			h.Admin(func(ctx context.Context, h host.Host) error { return h.StartUnit(ctx, host.AgentUnit) })
			if h.Role = test.role; test.role == host.RoleMaster {
				hold(h, vip)
			}
			synctest.Test(t, func(t *testing.T) {
				asked := &countingObserver{Host: h}
				daemon := func() {
					if _, err := status.Write(t.Context(), asked, status.Report{Doc: doc}); err != nil {
						t.Fatal(err)
					}
				}
				daemon()
				if daemon(); asked.times != 2 {
					t.Errorf("the daemon asked %d times in two runs", asked.times)
				}
				time.Sleep(test.wait)
				if test.change != nil {
					test.change(h)
				}
				known := status.Known{}
				if told, err := status.Last(t.Context(), h); err != nil {
					t.Fatal(err)
				} else if test.log != "" {
					known.Quiet = func(since time.Time) bool { return test.log == "same" && since.Equal(told.RoleSeen) }
				}
				s, err := status.Read(t.Context(), asked, doc, nil, known)
				if want := map[bool]int{false: 2, true: 3}[test.asks]; err != nil || asked.times != want || s.Role != test.role {
					t.Errorf("asked %d times, want %d; role %s; %v", asked.times, want, s.Role, err)
				}
				if !test.asks && !s.Is("Ready") {
					t.Errorf("%+v", s.Conditions)
				}
				time.Sleep(4 * time.Second)
				again := asked.times
				if s, err = status.Read(t.Context(), asked, doc, nil, status.Known{Before: s}); err != nil || s.Role != test.role {
					t.Errorf("role %s; %v", s.Role, err)
				}
				if name == "6 s later" && asked.times != again {
					t.Error("a process that asked 4 s ago asks again")
				}
			})
		})
	}
}

// countingObserver is a host that counts the questions to keepalived.
type countingObserver struct {
	*fake.Host
	times int
}

func (o *countingObserver) VRRP(ctx context.Context, pid int) ([]host.Instance, error) {
	o.times++
	return o.Host.VRRP(ctx, pid)
}

// lateObserver is a host whose keepalived has just been started.
type lateObserver struct {
	*fake.Host
	started, at time.Time
}

func (o *lateObserver) Unit(ctx context.Context, name string) (host.Unit, error) {
	u, err := o.Host.Unit(ctx, name)
	u.ActiveSince = o.started
	return u, err
}

func (o *lateObserver) VRRP(ctx context.Context, pid int) ([]host.Instance, error) {
	o.at = time.Now()
	return o.Host.VRRP(ctx, pid)
}

// TestHeldBackUpdates: the status shows updates that a hold keeps away. apt is asked for them once for each state of its
// lists.
func TestHeldBackUpdates(t *testing.T) {
	doc := parse(t, spec)
	h := installed(t, doc)
	h.Security = true
	if s := report(t, h, doc); len(s.Updates.HeldBack) > 0 || h.Asked != 1 {
		t.Errorf("asked %d times: %+v", h.Asked, s.Updates)
	}
	h.Archive["haproxy"] = append([]string{"2.6.12-1+deb12u5"}, h.Archive["haproxy"]...)
	h.ListsTime = h.ListsTime.Add(time.Hour)
	want := status.HeldUpdate{Package: "haproxy", Version: "2.6.12-1+deb12u4", Candidate: "2.6.12-1+deb12u5", Security: true}
	for range 2 {
		s := report(t, h, doc)
		if h.Asked != 2 || len(s.Updates.HeldBack) != 1 || s.Updates.HeldBack[0] != want {
			t.Errorf("asked %d times: %+v", h.Asked, s.Updates)
		}
	}
	if s := statusOf(t, h, doc, nil); len(s.Updates.HeldBack) != 1 || h.Asked != 2 {
		t.Errorf("a status asked apt, %d times: %+v", h.Asked, s.Updates)
	}
	h.Admin(func(ctx context.Context, r host.Host) error {
		_, err := r.InstallPackages(ctx, "haproxy=2.6.12-1+deb12u5")
		return err
	})
	if s := statusOf(t, h, doc, nil); s.Updates != nil {
		t.Errorf("installed meanwhile: %+v", s.Updates)
	}
}

// TestRefreshStatus: a refresh updates what changes without a run, does not ask keepalived, and keeps the rest.
func TestRefreshStatus(t *testing.T) {
	doc := parse(t, spec+pairNodes)
	h := installed(t, doc)
	before := report(t, h, doc)
	h.FailMethod("VRRP", errors.New("must not be asked"))
	h.FailMethod("Packages", errors.New("must not be asked"))
	h.FailMethod("Firewall", errors.New("must not be asked"))
	refresh := func() status.Status {
		t.Helper()
		s, err := status.Refresh(t.Context(), h, doc, before, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := refresh()
	wantCondition(t, s, "Ready", "True", "InSyncAndServing", "")
	if s.Node != "lb1" || s.Role != host.RoleBackup || len(s.Peers) != 1 || len(s.NotSeen) > 0 || s.LastReconcile == nil {
		t.Errorf("%+v", s)
	}
	h.Role = host.RoleMaster
	hold(h, "198.51.100.10")
	h.Sick = "198.51.100.21"
	h.Put(state.RoleFile, `{"role": "MASTER", "since": "2026-07-01T00:00:00Z", "reason": "lb2 was silent"}`, 0o600)
	s = refresh()
	if s.Role != host.RoleMaster || s.RoleReason != "lb2 was silent" || !s.VirtualIPs[0].Held || s.Services[0].Servers[0].Up() {
		t.Errorf("%+v", s)
	}
	wantCondition(t, s, "Serving", "False", "NoServerUp", "")
	wantCondition(t, s, "Ready", "False", "NotServing", "")
	h.Admin(func(ctx context.Context, r host.Host) error { return r.StopUnit(ctx, "keepalived.service") })
	if s = refresh(); s.Role != host.RoleStopped {
		t.Errorf("role %s", s.Role)
	}
	wantCondition(t, before, "Ready", "True", "InSyncAndServing", "") // the given status is unchanged
}

// TestRefreshSeesAgain: what a refresh could not look at is not reported any more once a later one has looked at it. What only a
// run looks at stays.
func TestRefreshSeesAgain(t *testing.T) {
	doc := parse(t, spec+pairNodes)
	h := installed(t, doc)
	s := report(t, h, doc)
	s.NotSeen = []string{"the peers: network is down"}
	refresh := func(want ...string) {
		t.Helper()
		var err error
		if s, err = status.Refresh(t.Context(), h, doc, s, nil); err != nil || !slices.EqualFunc(s.NotSeen, want, strings.HasPrefix) {
			t.Errorf("%v, not seen: %q, want %q", err, s.NotSeen, want)
		}
	}
	h.FailMethod("Servers", errors.New("i/o timeout"))
	refresh("the peers", "the servers: i/o timeout")
	h.FailMethod("Servers", errors.New("connection refused"))
	refresh("the peers", "the servers: connection refused")
	h.FailMethod("Servers", nil)
	refresh("the peers")
}

// TestChangesOfTheRole: each change of the role is counted once, and its reason is kept while the role stays.
func TestChangesOfTheRole(t *testing.T) {
	doc := parse(t, spec)
	h := installed(t, doc)
	steps := []struct {
		role   host.Role
		change func()
		count  int
		reason string
	}{
		{host.RoleBackup, nil, 0, ""},
		{host.RoleMaster, func() { hold(h, "198.51.100.10") }, 1, "took over: the other host stopped advertising, or has a lower priority"},
		{host.RoleFault, func() { h.Net[1].Prefixes = h.Net[1].Prefixes[:3]; h.Put(render.DrainFile, "1\n", 0o600) }, 2, "drained (rlb-agent undrain ends that)"},
		{host.RoleBackup, func() { h.Put(render.DrainFile, "0\n", 0o600) }, 3, "the fault is over"},
	}
	for _, step := range steps {
		if h.Role = step.role; step.change != nil {
			step.change()
		}
		for range 2 {
			s := report(t, h, doc)
			record, err := state.ReadRole(t.Context(), h)
			if err != nil || record.Transitions != step.count || s.Role != step.role || s.RoleReason != step.reason || record.Reason != step.reason {
				t.Errorf("%s: %v, %+v; status %s, %q", step.role, err, record, s.Role, s.RoleReason)
			}
		}
	}
}

// TestStatusWithoutASpecFile: a host that never had a spec waits for its first one. If a spec is in force, a missing file
// is refused.
func TestStatusWithoutASpecFile(t *testing.T) {
	gone := fmt.Errorf("cannot read the spec: %w", &fs.PathError{Op: "open", Path: "/etc/rlb/spec.yaml", Err: fs.ErrNotExist})
	s, err := status.Write(t.Context(), fake.New(), status.Report{Refused: gone}) // as a daemon that waits for a spec
	if err != nil || s.Generation != 0 || s.PendingSpec != nil {
		t.Errorf("no spec yet: generation %d, pending %+v; %v", s.Generation, s.PendingSpec, err)
	}
	const none = "there is no spec yet at /etc/rlb/spec.yaml; rlb-agent init writes a first one"
	wantCondition(t, s, "Ready", "False", status.NoSpec, none)
	wantCondition(t, s, "SpecValid", "Unknown", status.NoSpec, none)
	text, mood := status.Verdict(s, time.Now())
	if text += status.Text(status.Rows(s, time.Now()), 0); mood != status.Plain || strings.Contains(text, "cannot") {
		t.Errorf("this reads like an error:\n%s", text)
	}
	h := installed(t, parse(t, spec))
	s, err = status.Read(t.Context(), h, nil, gone, status.Known{})
	if err != nil || s.Generation != 2 || s.PendingSpec == nil || !s.PendingSpec.Refused {
		t.Errorf("one in force: generation %d, pending %+v; %v", s.Generation, s.PendingSpec, err)
	}
}

// TestStatusDuringTheFirstRun: during the daemon's first run the status says so at every step, and says what the daemon
// does. It does not say that this host is in sync, nor what is wrong with a host that is not set up yet. After a run that
// was lost, it says that the spec is not applied.
func TestStatusDuringTheFirstRun(t *testing.T) {
	doc := parse(t, spec)
	for n := 1; ; n++ {
		h := fake.New()
		h.Put("/etc/systemd/system/rlb-agent.service", "[Service]\n", 0o644)
		h.Admin(func(ctx context.Context, h host.Host) error {
			return errors.Join(h.EnableUnit(ctx, host.AgentUnit), h.StartUnit(ctx, host.AgentUnit))
		})
		h.StopBefore(n)
		_, _, runErr := once(t, h, doc)
		at := h.Log[len(h.Log)-1]
		h.Heal()
		if memory, err := state.ReadMemory(t.Context(), h); err != nil || memory.Generation > 0 { // the spec is in force
			if n < 20 || errors.Join(err, runErr) != nil {
				t.Errorf("only %d effects: %v", n, errors.Join(err, runErr))
			}
			break
		}
		for says, want := range map[string]string{
			status.Reconciling:                       "the first run is under way: looking at this host",
			status.Reconciling + ": install haproxy": "the first run is under way: install haproxy",
			"waiting":                                "generation 1 of the spec is not applied yet",
		} {
			h.Says = map[string]string{host.AgentUnit: says}
			s := statusOf(t, h, doc, nil)
			verdict, _ := status.Verdict(s, time.Now())
			rows := status.Text(status.Rows(s, time.Now()), 0)
			if !strings.Contains(verdict, want) || strings.Contains(verdict, "is out of") || s.Is("Ready") || s.Is("InSync") {
				t.Fatalf("at %s, the daemon says %q: %s\n%+v", at, says, verdict, s.Conditions)
			}
			if underWay := says != "waiting"; underWay != strings.Contains(rows, "generation 1 is being applied for the first time") || underWay == strings.Contains(rows, "not applied yet") || underWay && strings.Contains(rows, "Problem") {
				t.Fatalf("at %s, the daemon says %q:\n%s", at, says, rows)
			}
		}
	}
	h := installed(t, doc)
	h.Says = map[string]string{host.AgentUnit: status.Reconciling}
	if s := statusOf(t, h, doc, nil); s.FirstRun != "" || !s.Is("Ready") {
		t.Errorf("the first run has ended: %+v", s)
	}
}

// TestStatusOfAHostThatIsKeptOut: a host whose virtual router changed first shows that it waits, in the status file too.
func TestStatusOfAHostThatIsKeptOut(t *testing.T) {
	doc := parse(t, spec+pairNodes)
	h := installed(t, doc)
	if err := errors.Join(h.StopUnit(t.Context(), host.KeepalivedUnit), h.RunDetached(t.Context(), host.RejoinUnit, "rlb-agent", "rejoin")); err != nil {
		t.Fatal(err)
	}
	read, err := status.Read(t.Context(), h, doc, nil, status.Known{})
	if c := read.Condition("Serving"); err != nil || c.Status != "False" || c.Reason != status.KeptOut {
		t.Errorf("read: %+v; %v", c, err)
	}
	if err := read.Write(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	followed, err := status.Follow(t.Context(), h, doc, nil)
	if c := followed.Condition("Serving"); err != nil || c.Reason != status.KeptOut {
		t.Errorf("followed: %+v; %v", c, err)
	}
}
