package reconcile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/plan"
)

const api2 = `- name: api
  port: 6443
  servers:
  - address: 198.51.100.31
`

// TestChangesThatTakeSomethingDown: what served before a change serves after it, or the change is undone.
func TestChangesThatTakeSomethingDown(t *testing.T) {
	weight := func(t *testing.T) *api.Document { // nothing else changes
		return parse(t, strings.Replace(spec, "198.51.100.21\n", "198.51.100.22\n", 1))
	}
	priority := func(t *testing.T) *api.Document { return parse(t, spec+"vrrp: {priority: 77}\n") }
	hold := func(h *fake.Host) { h.Net = append(h.Net, of("eth0", "198.51.100.10/32")) }
	for name, test := range map[string]struct {
		first func(t *testing.T) *api.Document
		edit  func(t *testing.T) *api.Document
		early func(h *fake.Host) // before the first run
		late  func(h *fake.Host) // before the edit
		want  string             // beginning of the error; "" if the edit stays in force
		long  bool               // the problem may pass, so the run looks longer
	}{
		"all servers go down": {edit: weight, late: func(h *fake.Host) { h.Sick = "198.51.100.22" },
			want: "spec.yaml:5:3: services[0].healthCheck: no server of web is up, but before the change one was: server1 L4CON: connection refused"},
		"by a bad check": {edit: func(t *testing.T) *api.Document {
			return parse(t, spec+"  healthCheck:\n    type: http\n    path: /nowhere\n")
		}, late: func(h *fake.Host) { h.Sick = "/nowhere" }, want: "spec.yaml:10:5: services[0].healthCheck: no server of web is up, but before the change one was"},
		"all were down before":            {edit: weight, early: func(h *fake.Host) { h.Sick = "198.51.100.2" }},
		"all were down before, others up": {first: func(t *testing.T) *api.Document { return parse(t, spec+api2) }, edit: func(t *testing.T) *api.Document { return parse(t, strings.Replace(spec+api2, "31", "32", 1)) }, early: func(h *fake.Host) { h.Sick = "198.51.100.21" }},
		"one of two services goes down": {
			first: func(t *testing.T) *api.Document { return parse(t, spec+api2) },
			edit: func(t *testing.T) *api.Document {
				return parse(t, strings.Replace(spec+api2, "198.51.100.21\n", "198.51.100.22\n", 1))
			},
			late: func(h *fake.Host) { h.Sick = "198.51.100.22" },
			want: "spec.yaml:5:3: services[0].healthCheck: no server of web is up, but before the change one was",
		},
		"a new service, its servers down":  {edit: func(t *testing.T) *api.Document { return parse(t, spec+api2) }, late: func(h *fake.Host) { h.Sick = "198.51.100.31" }},
		"the service that was up goes":     {first: func(t *testing.T) *api.Document { return parse(t, spec+api2) }, edit: weight},
		"one of two goes down":             {edit: func(t *testing.T) *api.Document { return parse(t, spec+"  - address: 198.51.100.22\n") }, late: func(h *fake.Host) { h.Sick = "198.51.100.22" }},
		"one that is never checked":        {edit: weight, late: func(h *fake.Host) { h.Unchecked = "198.51.100.22" }, want: "spec.yaml:5:3: services[0].healthCheck: no server of web is up, but before the change one was", long: true},
		"FAULT":                            {edit: priority, late: func(h *fake.Host) { h.Faulty = "77" }, want: "keepalived's instance HA-CLUSTER is in FAULT, but was not before the change", long: true},
		"FAULT before and after":           {edit: priority, late: func(h *fake.Host) { h.Faulty = "vrrp_instance" }},
		"FAULT from the first":             {edit: priority, early: func(h *fake.Host) { h.Faulty = "vrrp_instance" }},
		"instance is gone":                 {edit: priority, late: func(h *fake.Host) { h.Lost = "77" }, want: "cannot see keepalived's instance HA-CLUSTER", long: true},
		"keepalived cannot tell":           {edit: priority, late: func(h *fake.Host) { h.FailMethod("VRRP", host.ErrUnavailable) }},
		"virtual IP without being master":  {edit: priority, late: hold, want: "cannot verify virtual IP 198.51.100.10: this host is MASTER: false, the interface has the address: true", long: true},
		"master without its virtual IP":    {edit: priority, late: func(h *fake.Host) { h.Role = host.RoleMaster }, want: "cannot verify virtual IP 198.51.100.10: this host is MASTER: true, the interface has the address: false", long: true},
		"master that holds its virtual IP": {edit: priority, late: func(h *fake.Host) { hold(h); h.Role = host.RoleMaster }},
		"a server's state cannot be asked": {edit: weight, late: func(h *fake.Host) { h.FailMethod("Servers", errors.New("cannot ask")) }},
	} {
		t.Run(name, func(t *testing.T) {
			h := fake.New()
			if test.early != nil {
				test.early(h)
			}
			first := parse(t, spec)
			if test.first != nil {
				first = test.first(t)
			}
			must(t, h, first)
			if test.late != nil {
				test.late(h)
			}
			before := h.Dump()
			result, _, err := once(t, h, test.edit(t))
			if test.want == "" {
				if err != nil {
					t.Errorf("it is stopped: %v", err)
				}
				return
			}
			failure := (*reconcile.Failure)(nil)
			if !errors.As(err, &failure) || !failure.Undone || failure.Undo != nil {
				t.Fatalf("got %v, want a failure that was undone", err)
			}
			if text := err.Error(); !strings.HasPrefix(text, test.want) || !strings.HasSuffix(text, "\nwhat was there before is in force again") {
				t.Errorf("got  %s\nwant %s", text, test.want)
			}
			if long := result.Time > 5*time.Second; long != test.long {
				t.Errorf("it took %v", result.Time)
			}
			same(t, "the undoing", h, before)
		})
	}
}

// TestRehearsal: a health check that would take every server out is found in a rehearsal, before anything changes. If a
// rehearsal is not possible, the problem is found after the reload, and the change is undone.
func TestRehearsal(t *testing.T) {
	for _, blind := range []bool{false, true} {
		h := installed(t, parse(t, spec))
		h.Sick, h.Blind = "/nowhere", blind
		before := h.Dump()
		var log bytes.Buffer
		_, err := isolated(t, h, func(ctx context.Context, r *reconcile.Reconciler) error {
			r.Log = slog.New(slog.NewTextHandler(&log, nil))
			_, err := r.Once(ctx, parse(t, spec+"  healthCheck: {type: http, path: /nowhere}\n"))
			return err
		})
		if warned := strings.Contains(log.String(), "they are verified after the reload"); warned != blind {
			t.Errorf("blind %t: log:\n%s", blind, log.String())
		}
		failure := (*reconcile.Failure)(nil)
		if !errors.As(err, &failure) || !failure.Undone || !strings.Contains(err.Error(), "no server of web is up, but before the change one was") {
			t.Errorf("blind %t: got %v, want a failure that was undone", blind, err)
		}
		if touched := len(h.Log) > 0; touched != blind {
			t.Errorf("blind %t: effects %q", blind, h.Log)
		}
		same(t, "the failed edit", h, before)
	}
}

// TestRehearsalAfterAnInstallation: the error says once, and only if it is so, that the former state is in force.
func TestRehearsalAfterAnInstallation(t *testing.T) {
	for _, undone := range []bool{true, false} {
		h := installed(t, parse(t, spec))
		h.Archive["haproxy"] = append([]string{newHAProxy}, h.Archive["haproxy"]...)
		h.Sick = "/nowhere"
		if !undone {
			h.Archive["haproxy"] = h.Archive["haproxy"][:1] // the former version is not offered any more
		}
		_, _, err := once(t, h, parse(t, spec+"  healthCheck: {type: http, path: /nowhere}\npackages: {haproxy: {version: "+newHAProxy+"}}\n"))
		failure := (*reconcile.Failure)(nil)
		if !errors.As(err, &failure) || !strings.Contains(err.Error(), "no server of web is up") || (failure.Undo == nil) != undone {
			t.Fatalf("undone %t: got %v", undone, err)
		}
		if got := strings.Count(err.Error(), "in force again"); got == 1 != undone || got > 1 {
			t.Errorf("undone %t: %v", undone, err)
		}
	}
}

// TestOnlyChangedChecksAreRehearsed: an edit is rehearsed only if no server that is up keeps its check.
func TestOnlyChangedChecksAreRehearsed(t *testing.T) {
	const two = spec + "  - address: 198.51.100.22\n"
	for name, test := range map[string]struct {
		edit      string
		rehearsed bool
	}{
		"another check":            {two + "  healthCheck: {type: http, path: /healthz}\n", true},
		"another address of all":   {strings.NewReplacer(".21", ".31", ".22", ".32").Replace(two), true},
		"another address of one":   {strings.Replace(two, ".22", ".32", 1), false},
		"one server less":          {spec, false},
		"one server more":          {two + "  - address: 198.51.100.23\n", false},
		"something without checks": {two + "proxy: {maxConnections: 99}\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			h := installed(t, parse(t, two))
			h.Rehearsed = 0
			must(t, h, parse(t, test.edit))
			if rehearsed := h.Rehearsed > 0; rehearsed != test.rehearsed {
				t.Errorf("rehearsed: %t, want %t", rehearsed, test.rehearsed)
			}
		})
	}
}

// TestPortThatIsTaken: a port that another program uses is reported before anything changes.
func TestPortThatIsTaken(t *testing.T) {
	const want = "spec.yaml:6:9: services[0].port: 0.0.0.0:9000 is taken by kube-apiserver (process 1), which listens on 0.0.0.0:9000; " +
		"give the service another port, or bind it to the virtual IP and the program to its own address (--bind-address)"
	for name, host := range hosts {
		t.Run(name, func(t *testing.T) {
			h := host()
			h.Taken = map[uint16]string{9000: "kube-apiserver", 22: "sshd"}
			before := h.Dump()
			_, _, err := once(t, h, parse(t, spec))
			field := (*plan.FieldError)(nil)
			if !errors.As(err, &field) || field.Field != "services[0].port" || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if failure := (*reconcile.Failure)(nil); errors.As(err, &failure) || len(h.Log) > 0 {
				t.Errorf("something was touched: %q", h.Log)
			}
			same(t, "a refusal", h, before)
			h.Taken = nil
			must(t, h, parse(t, spec))
		})
	}
	t.Run("HAProxy's own", func(t *testing.T) {
		h := installed(t, parse(t, spec))
		h.Taken = map[uint16]string{9001: "haproxy"}
		must(t, h, parse(t, spec+api2))
		must(t, h, port(t, 9001))
	})
	t.Run("cannot be seen", func(t *testing.T) {
		h := installed(t, parse(t, spec))
		h.FailMethod("Sockets", errors.New("cannot read the table of TCP sockets"))
		_, _, err := once(t, h, port(t, 9001))
		if failure := (*reconcile.Failure)(nil); !errors.As(err, &failure) || len(h.Log) > 0 {
			t.Errorf("got %v, want a failure: it may pass", err)
		}
	})
}

// TestFieldErrors: errors about fields that this host cannot fulfil have their position in the file.
func TestFieldErrors(t *testing.T) {
	for _, test := range []struct {
		spec string
		net  []host.Interface
		want string
	}{
		{spec + "vrrp: {interface: eth9}\n", nil, "spec.yaml:9:19: vrrp.interface: cannot find interface eth9 on this host, there is only eth0 (198.51.100.11/24, 2001:db8::11/64)"},
		{spec, []host.Interface{of("eth0", "192.0.2.1/24")}, "spec.yaml:3:14: virtualIPs[0]: cannot tell the interface of the virtual IPs: no subnet holds 198.51.100.10, there is only eth0 (192.0.2.1/24); name it as vrrp.interface"},
		{spec + "nodes:\n- {name: lb1, addresses: [198.51.100.7]}\n- {name: lb2, addresses: [198.51.100.8]}\n", nil,
			"spec.yaml:10:1: nodes: cannot tell which of the spec's nodes this is: it holds none of their addresses, only eth0 (198.51.100.11/24, 2001:db8::11/64)"},
	} {
		h := fake.New()
		if test.net != nil {
			h.Net = test.net
		}
		_, _, err := once(t, h, parse(t, test.spec))
		if field := (*plan.FieldError)(nil); !errors.As(err, &field) || err.Error() != test.want || len(h.Log) > 0 {
			t.Errorf("effects %q\ngot  %s\nwant %s", h.Log, fmt.Sprint(err), test.want)
		}
	}
}
