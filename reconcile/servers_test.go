package reconcile_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
)

// servers is a spec with four servers. In otherServers one is removed, one is new, and two are changed.
const (
	servers = `apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [198.51.100.10]
services:
- name: web
  port: 9000
  servers:
  - {name: a, address: 198.51.100.21}
  - {name: b, address: 198.51.100.22, weight: 5}
  - {name: c, address: 198.51.100.23, maxConnections: 100}
  - {name: d, address: "2001:db8::24", backup: true}
`
	otherServers = `apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [198.51.100.10]
services:
- name: web
  port: 9000
  servers:
  - {name: new, address: 198.51.100.29, weight: 0}
  - {name: a, address: 198.51.100.31, port: 9001}
  - {name: b, address: 198.51.100.22}
  - {name: d, address: "2001:db8::24", backup: true, maxConnections: 7}
`
	onServer = ", while haproxy runs: "
	writeCfg = "write /etc/haproxy/haproxy.cfg"
	reload   = "reload haproxy.service"
)

// runtime gives HAProxy commands without the agent.
func runtime(h *fake.Host, commands ...string) {
	h.Admin(func(ctx context.Context, h host.Host) error {
		for _, command := range commands {
			if err := h.Runtime(ctx, command); err != nil {
				return err
			}
		}
		return nil
	})
}

func workers(t *testing.T, h *fake.Host) host.Workers {
	t.Helper()
	w, err := h.Workers(t.Context(), "/run/haproxy-master.sock")
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestServersChangeWhileHAProxyRuns: servers change without a reload, and HAProxy then runs what a reload of the written
// file would make it run.
func TestServersChangeWhileHAProxyRuns(t *testing.T) {
	h := installed(t, parse(t, servers))
	before := workers(t, h)
	doc := parse(t, otherServers)
	result := must(t, h, doc)
	wantLines(t, "steps", texts(result.Steps), writeCfg,
		"server new of web"+onServer+"add it, 198.51.100.29:9000",
		"server a of web"+onServer+"address 198.51.100.21:9000 becomes 198.51.100.31:9001",
		"server b of web"+onServer+"weight 5 becomes 1",
		"server d of web"+onServer+"most connections 0 become 7",
		"server c of web"+onServer+"drain (it is not in the spec): no new connections; delete when idle")
	if after := workers(t, h); !slices.Equal(before.Current, after.Current) {
		t.Errorf("HAProxy was reloaded: workers %v became %v", before, after)
	}
	quiet(t, h, doc)
	fresh := installed(t, parse(t, servers))
	fresh.Stubborn = "server" // refuses every runtime command
	must(t, fresh, doc)
	sameText(t, "the runtime API and a reload", shape(fresh), shape(h))
	running := h.Dump(memory...)
	h.Admin(func(ctx context.Context, h host.Host) error { return h.ReloadUnit(ctx, "haproxy.service") })
	same(t, "a reload", h, running, memory...)
}

// TestServersComeToEveryVersion: a server that is added while HAProxy runs equals the server after a reload, whatever words
// the version needs.
func TestServersComeToEveryVersion(t *testing.T) {
	for _, version := range []string{"2.6.12-1+deb12u3", "3.2.26-1", "3.4.7-1"} {
		h := fake.New()
		h.Archive["haproxy"] = []string{version}
		must(t, h, parse(t, servers))
		doc := parse(t, otherServers)
		steps := texts(must(t, h, doc).Steps)
		if slices.Contains(steps, reload) || !slices.Contains(steps, "server new of web"+onServer+"add it, 198.51.100.29:9000") {
			t.Errorf("%s: %q", version, steps)
		}
		running := h.Dump(memory...)
		h.Admin(func(ctx context.Context, h host.Host) error { return h.ReloadUnit(ctx, "haproxy.service") })
		same(t, version+": a reload", h, running, memory...)
	}
}

// TestAddressesChangeLate: from HAProxy 3.0 on, the address of a server changes after the answer. The run waits for the
// change, and needs no further step.
func TestAddressesChangeLate(t *testing.T) {
	for late, want := range map[int]string{1: "", 20: "", 1000: reload} {
		h := installed(t, parse(t, servers))
		h.LateAddress = late
		doc := parse(t, strings.ReplaceAll(servers, "198.51.100.21", "198.51.100.31"))
		steps := []string{writeCfg, "server a of web" + onServer + "address 198.51.100.21:9000 becomes 198.51.100.31:9000"}
		if want != "" { // the address never changes
			steps[1] = want
		}
		wantLines(t, "steps", texts(must(t, h, doc).Steps), steps...)
		quiet(t, h, doc)
	}
}

// TestFailOpenServersChangeWhileHAProxyRuns: the backend that fails open changes together with the backend of the service,
// and HAProxy then runs what a reload would make it run.
func TestFailOpenServersChangeWhileHAProxyRuns(t *testing.T) {
	failOpen := strings.NewReplacer("  port: 9000\n", "  port: 9000\n  failOpen: true\n  sendProxyProtocol: v2\n  healthCheck: {type: https, port: 9009, host: web.example.org}\n")
	h := installed(t, parse(t, failOpen.Replace(servers)))
	before := workers(t, h)
	doc := parse(t, failOpen.Replace(otherServers))
	result := must(t, h, doc)
	wantLines(t, "steps", texts(result.Steps), writeCfg,
		"server new of web"+onServer+"add it, 198.51.100.29:9000",
		"server a of web"+onServer+"address 198.51.100.21:9000 becomes 198.51.100.31:9001",
		"server b of web"+onServer+"weight 5 becomes 1",
		"server d of web"+onServer+"most connections 0 become 7",
		"server c of web"+onServer+"drain (it is not in the spec): no new connections; delete when idle",
		"server new of web:failopen"+onServer+"add it, 198.51.100.29:9000",
		"server a of web:failopen"+onServer+"address 198.51.100.21:9000 becomes 198.51.100.31:9001",
		"server b of web:failopen"+onServer+"weight 5 becomes 1",
		"server d of web:failopen"+onServer+"most connections 0 become 7",
		"server c of web:failopen"+onServer+"drain (it is not in the spec): no new connections; delete when idle")
	if after := workers(t, h); !slices.Equal(before.Current, after.Current) {
		t.Errorf("HAProxy was reloaded: workers %v became %v", before, after)
	}
	quiet(t, h, doc)
	fresh := installed(t, parse(t, failOpen.Replace(servers)))
	fresh.Stubborn = "server"
	must(t, fresh, doc)
	sameText(t, "the runtime API and a reload", shape(fresh), shape(h))
}

// TestRemovedServerKeepsItsConnections: a removed server that still has connections is drained, not put in maintenance, and
// is deleted when they have ended.
func TestRemovedServerKeepsItsConnections(t *testing.T) {
	h := installed(t, parse(t, servers))
	h.Sessions = map[string]int{"web/c": 3, "web/a": 1}
	without := parse(t, strings.Replace(servers, "  - {name: c, address: 198.51.100.23, maxConnections: 100}\n", "", 1))
	must(t, h, without)
	if !strings.Contains(h.Dump(), "runs web/c 198.51.100.23:9000 check inter 2000ms rise 2 fall 3 fastinter 25ms on-marked-down shutdown-sessions weight 1 maxconn 100 drain") || h.Sessions["web/c"] != 3 {
		t.Errorf("c is not drained, or its connections were cut: %v\n%s", h.Sessions, h.Dump())
	}
	quiet(t, h, without)

	// it is wanted again while it still exists: its former line is not known
	again := h.Clone()
	wantLines(t, "plan", planOf(t, again, parse(t, servers)), writeCfg, reload)

	delete(h.Sessions, "web/c")
	wantLines(t, "plan", planOf(t, h, without)) // the host is in sync
	h.Stubborn = "del server"
	must(t, h, without) // a failure to tidy up does not fail the run
	h.Stubborn = ""
	h.Log = nil
	must(t, h, without)
	wantLines(t, "effects", h.Log, "Runtime set server web/c state maint", "Runtime del server web/c")
	quiet(t, h, without)
}

// TestServersThatNeedAReload: a reload does what the runtime API cannot do, or what it may not do correctly.
func TestServersThatNeedAReload(t *testing.T) {
	replaced := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(servers) }
	raw := "  extraBackend: [timeout server 1h]\n"
	for name, test := range map[string]struct {
		before, after string
		host, then    func(h *fake.Host)
	}{
		"another field too":      {after: replaced("21", "31", "port: 9000", "port: 9001")},
		"health check":           {after: replaced("  port: 9000", "  port: 9000\n  healthCheck: {interval: 5s}")},
		"backup":                 {after: replaced(", backup: true", "")},
		"backup, and an address": {after: replaced(", backup: true", "", "21", "31")},
		"read another file before": {after: replaced("  port: 9000", "  port: 9000\n  healthCheck: {interval: 5s}", "21", "31"), then: func(h *fake.Host) {
			h.Put("/etc/haproxy/haproxy.cfg", strings.ReplaceAll(h.Text("/etc/haproxy/haproxy.cfg"), "inter 2000ms", "inter 5000ms"), 0o640)
		}},
		"to a DNS name":              {after: replaced("198.51.100.21", "cp1.example")},
		"from a DNS name":            {before: replaced("198.51.100.21", "cp1.example"), after: servers},
		"a new DNS name":             {after: servers + "  - {name: e, address: cp5.example}\n"},
		"a name's port":              {before: servers + "  - {name: e, address: cp5.example}\n", after: servers + "  - {name: e, address: cp5.example, port: 1}\n"},
		"order":                      {after: replaced("{name: a, address: 198.51.100.21}", "{name: b, address: 198.51.100.22, weight: 5}", "{name: b, address: 198.51.100.22, weight: 5}", "{name: a, address: 198.51.100.21}")},
		"added, order counts":        {before: replaced("port: 9000", "port: 9000\n  balance: first"), after: replaced("port: 9000", "port: 9000\n  balance: first") + "  - {name: e, address: 198.51.100.25}\n"},
		"added, static algorithm":    {before: replaced("port: 9000", "port: 9000\n  balance: source"), after: replaced("port: 9000", "port: 9000\n  balance: source") + "  - {name: e, address: 198.51.100.25}\n"},
		"weight, static algorithm":   {before: replaced("port: 9000", "port: 9000\n  balance: static-rr"), after: replaced("port: 9000", "port: 9000\n  balance: static-rr", "weight: 5", "weight: 6")},
		"lines of the user's own":    {before: servers + raw, after: replaced("21", "31") + raw},
		"default-server":             {before: servers + "proxy: {extraDefaults: [default-server slowstart 10s]}\n", after: replaced("21", "31") + "proxy: {extraDefaults: [default-server slowstart 10s]}\n"},
		"another service":            {after: servers + "- {name: api, port: 9100, servers: [{address: 198.51.100.41}]}\n"},
		"older HAProxy":              {after: replaced("21", "31"), host: func(h *fake.Host) { h.Archive["haproxy"] = []string{"2.2.9-2+deb11u6"} }},
		"HAProxy that does not tell": {after: replaced("21", "31"), host: func(h *fake.Host) { h.FailMethod("RunningServers", errors.New("no answer")) }},
	} {
		t.Run(name, func(t *testing.T) {
			h := fake.New()
			if test.host != nil {
				test.host(h)
			}
			if test.before == "" {
				test.before = servers
			}
			must(t, h, parse(t, test.before))
			if test.then != nil {
				test.then(h)
			}
			got := planOf(t, h, parse(t, test.after))
			if !slices.Contains(got, reload) || slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "while haproxy runs") }) {
				t.Errorf("plan: %q", got)
			}
			must(t, h, parse(t, test.after))
			quiet(t, h, parse(t, test.after))
		})
	}
}

// TestServersOfStaticAlgorithms: changes through the runtime API with an algorithm that cannot add servers while HAProxy
// runs.
func TestServersOfStaticAlgorithms(t *testing.T) {
	with := func(balance string) string {
		return strings.Replace(servers, "port: 9000", "port: 9000\n  balance: "+balance, 1)
	}
	for _, balance := range []string{"source", "static-rr", "first"} {
		h := installed(t, parse(t, with(balance)))
		wantLines(t, balance, planOf(t, h, parse(t, strings.Replace(with(balance), "21", "31", 1))), writeCfg,
			"server a of web"+onServer+"address 198.51.100.21:9000 becomes 198.51.100.31:9000")
	}
}

// TestRefusedCommandEndsInAReload: if HAProxy refuses a command, at any position, a reload loads the same file.
func TestRefusedCommandEndsInAReload(t *testing.T) {
	doc := parse(t, otherServers)
	whole := installed(t, parse(t, servers))
	must(t, whole, doc)
	for _, word := range []string{"add server", "enable health", "enable server", "addr", "weight 1", "maxconn server", "drain"} {
		h := installed(t, parse(t, servers))
		before := workers(t, h)
		h.Stubborn = word
		result := must(t, h, doc)
		if after := workers(t, h); slices.Equal(before.Current, after.Current) || !slices.Contains(texts(result.Steps), reload) {
			t.Errorf("%s refused: steps %q, workers %v", word, texts(result.Steps), after)
		}
		sameText(t, word+" refused", shape(whole), shape(h))
		h.Stubborn = ""
		quiet(t, h, doc)
	}
}

// TestServersThatDoNotWorkAreUndone: new servers that do not work are undone, and HAProxy runs the old ones again.
func TestServersThatDoNotWorkAreUndone(t *testing.T) {
	h := installed(t, parse(t, servers))
	before := h.Dump(memory...)
	h.Sick, h.Blind = "198.51.100.3", true
	all := strings.NewReplacer("198.51.100.2", "198.51.100.3", "2001:db8::24", "198.51.100.34").Replace(servers)
	_, _, err := once(t, h, parse(t, all))
	if failure := (*reconcile.Failure)(nil); !errors.As(err, &failure) || !failure.Undone || failure.Undo != nil {
		t.Fatalf("got %v", err)
	}
	same(t, "an undone change", h, before, memory...)
	quiet(t, h, parse(t, servers))
}

// TestRetiredServerServesNobodyNew: a retired server that is still up does not count as serving.
func TestRetiredServerServesNobodyNew(t *testing.T) {
	one := strings.Split(servers, "  - {name: b")[0]
	h := installed(t, parse(t, one))
	before := h.Dump(memory...)
	h.Sessions = map[string]int{"web/a": 1}
	h.Sick, h.Blind = "198.51.100.25", true
	_, _, err := once(t, h, parse(t, strings.Replace(one, "{name: a, address: 198.51.100.21}", "{name: e, address: 198.51.100.25}", 1)))
	if failure := (*reconcile.Failure)(nil); !errors.As(err, &failure) || !failure.Undone || failure.Undo != nil || !strings.Contains(err.Error(), "no server of web is up, but before the change one was") {
		t.Fatalf("got %v", err)
	}
	same(t, "an undone change", h, before, memory...)
}

// TestDriftOfServers: changes that somebody made through the runtime API are found and repaired without a reload.
func TestDriftOfServers(t *testing.T) {
	const again = "server a of web" + onServer
	for name, test := range map[string]struct {
		drift []string
		want  []string
	}{
		"maintenance": {[]string{"set server web/a state maint"}, []string{again + "it leaves maintenance"}},
		"drained":     {[]string{"set server web/a state drain"}, []string{again + "it gets connections again, and is no longer drained"}},
		"weight":      {[]string{"set server web/a weight 9"}, []string{again + "weight 9 becomes 1"}},
		"address":     {[]string{"set server web/a addr 198.51.100.99 port 1"}, []string{again + "address 198.51.100.99:1 becomes 198.51.100.21:9000"}},
		"connections": {[]string{"set maxconn server web/a 9"}, []string{again + "most connections 9 become 0"}},
		"several":     {[]string{"set server web/a weight 9", "set server web/a state drain"}, []string{again + "weight 9 becomes 1, it gets connections again, and is no longer drained"}},
		"missing":     {[]string{"set server web/a state maint", "del server web/a"}, []string{again + "add it, 198.51.100.21:9000"}},
		"half added":  {[]string{"set server web/a state maint", "del server web/a", "add server web/a 198.51.100.21:9000 check inter 2000ms rise 2 fall 3 fastinter 25ms on-marked-down shutdown-sessions"}, []string{again + "its health check is switched on, it leaves maintenance"}},
		"extra":       {[]string{"add server web/x 198.51.100.99:1", "enable server web/x"}, []string{"server x of web" + onServer + "drain (it is not in the spec): no new connections; delete when idle"}},
	} {
		t.Run(name, func(t *testing.T) {
			doc := parse(t, servers)
			h := installed(t, doc)
			before, as := workers(t, h), h.Dump(memory...)
			runtime(h, test.drift...)
			wantLines(t, "plan", planOf(t, h, doc), test.want...)
			must(t, h, doc)
			if after := workers(t, h); !slices.Equal(before.Current, after.Current) {
				t.Error("HAProxy was reloaded")
			}
			same(t, "the repair", h, as, memory...)
			quiet(t, h, doc)

			old := fake.New()
			old.Archive["haproxy"] = []string{"2.2.9-2+deb11u6"}
			must(t, old, doc)
			runtime(old, test.drift...)
			wantLines(t, "plan with an older HAProxy", planOf(t, old, doc), reload)
		})
	}
}

// TestNoDriftOfServers: what the agent does not manage is no drift.
func TestNoDriftOfServers(t *testing.T) {
	named := servers + "  extraBackend: [use-server a if FALSE, server mine 198.51.100.77:1]\n"
	byName := servers + "  - {name: e, address: cp5.example}\n"
	for name, test := range map[string]struct {
		spec  string
		drift func(h *fake.Host)
	}{
		"down":              {servers, func(h *fake.Host) { h.Sick = "198.51.100.21" }},
		"user's own server": {named, func(h *fake.Host) { runtime(h, "set server web/mine state maint") }},
		"named by the user": {named, func(h *fake.Host) { runtime(h, "set server web/a state maint") }},
		"address of a name": {byName, func(h *fake.Host) { runtime(h, "set server web/e addr 198.51.100.25 port 9000") }},
		"does not answer": {servers, func(h *fake.Host) {
			runtime(h, "set server web/a weight 9")
			h.FailMethod("RunningServers", errors.New("no answer"))
		}},
		"state from a file":  {servers + "proxy: {extraDefaults: [load-server-state-from-file global]}\n", func(h *fake.Host) { runtime(h, "set server web/a weight 9") }},
		"user's lines, gone": {named, func(h *fake.Host) { runtime(h, "set server web/b state maint", "del server web/b") }},
		"default-server":     {servers + "proxy: {extraDefaults: [default-server agent-check agent-port 1]}\n", func(h *fake.Host) { runtime(h, "set server web/a state drain") }},
		"extra, not used":    {servers, func(h *fake.Host) { runtime(h, "add server web/x 198.51.100.99:1") }},
		"retired, with some": {servers, func(h *fake.Host) {
			h.Sessions = map[string]int{"web/x": 1}
			runtime(h, "add server web/x 198.51.100.99:1", "enable server web/x", "set server web/x state drain")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			doc := parse(t, test.spec)
			h := installed(t, doc)
			test.drift(h)
			wantLines(t, "plan", planOf(t, h, doc))
		})
	}
}
