package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
	contract "rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/status"
)

// verifiedService is the second service of kubeSpec.
const verifiedService = pair.VIP + ":9001"

// kubeSpec is a spec of two services with the same API servers: one with the defaults, one that verifies their
// certificates. The timeouts of idle connections are short, so that seconds show what otherwise takes hours.
func kubeSpec(planes int, tunnel time.Duration, check string) string {
	var servers strings.Builder
	for i := range planes {
		fmt.Fprintf(&servers, "  - {name: cp%d, address: 198.51.100.%d, port: 6443}\n", i+1, 21+i)
	}
	return fmt.Sprintf(`apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [%s]
proxy:
  timeouts: {client: 2s, server: 2s, tunnel: %s}
services:
- name: kube-apiserver
  port: 9000
%s  servers:
  - {name: named, address: cp9.example.com, port: 6443}
%s- name: verified
  port: 9001
  healthCheck: {caFile: /etc/rlb/ca.pem}
  servers:
%s`, pair.VIP, tunnel, check, &servers, &servers)
}

// states returns the states of a service's servers by name.
func states(h *e2e.Host, service string) map[string]contract.ServerState {
	h.World.Helper()
	out, err := h.Run(h.World.Context(), pair.Agent, "status", "-o", "json")
	var failed *lab.RunError
	if errors.As(err, &failed) { // exit code 1: the host is not ready
		out = failed.Stdout
	}
	var status status.Status
	if jerr := json.Unmarshal([]byte(out), &status); jerr != nil {
		h.World.Fatalf("%v: %v: %s", err, jerr, out)
	}
	states := map[string]contract.ServerState{}
	for _, s := range status.Services {
		if s.Name == service {
			for _, server := range s.Servers {
				states[server.Name] = server
			}
		}
	}
	return states
}

// within waits until all of these servers are up, or down, and logs how long each took.
func within(h *e2e.Host, limit time.Duration, up bool, service string, names ...string) {
	h.World.Helper()
	begin, took := time.Now(), map[string]time.Duration{}
	h.World.Eventually(fmt.Sprintf("%v of %s up: %v", names, service, up), limit, func() bool {
		now := states(h, service)
		for _, name := range names {
			if _, ok := took[name]; !ok && now[name].Up() == up {
				took[name] = time.Since(begin).Round(10 * time.Millisecond)
				h.World.Logf("%s/%s up: %v after %v: %s", service, name, up, took[name], now[name].Reason)
			}
		}
		return len(took) == len(names)
	})
}

// explains waits until the reason of a server's state has these words in this order. While a check is in progress
// HAProxy does not report the status of the last one.
func explains(h *e2e.Host, service, server string, words ...string) {
	h.World.Helper()
	h.World.Eventually(fmt.Sprintf("the reason of %s/%s has %q", service, server, words), 5*time.Second, func() bool {
		return e2e.InOrder(states(h, service)[server].Reason, words...)
	})
}

// TestKubeAPIServers: API servers that are down, hang, fail, answer without TLS, with another certificate or with 401;
// and idle connections.
func TestKubeAPIServers(t *testing.T) {
	w := e2e.New(t)
	for i := 3; i < 6; i++ {
		cp, err := w.Lab.AddControlPlane(t.Context(), fmt.Sprintf("cp%d", i+1), netip.MustParsePrefix(fmt.Sprintf("198.51.100.%d/24", 21+i)))
		if err != nil {
			t.Fatal(err)
		}
		w.Planes = append(w.Planes, cp)
	}
	names := []string{"cp1", "cp2", "cp3", "cp4", "cp5", "cp6"}
	set := func(modes ...lab.Mode) {
		for i, mode := range modes {
			if err := w.Planes[i].Set(mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	set(lab.Refuse, lab.Refuse, lab.Refuse, lab.Refuse, lab.Refuse, lab.Refuse)
	h := w.Hosts(true, lab.Trixie)[0]
	var ca []byte
	for _, cp := range w.Planes {
		ca = append(ca, cp.CertPEM()...)
	}
	if err := errors.Join(h.WriteFile("/etc/rlb/ca.pem", ca, 0o644), h.WriteFile("/etc/resolv.conf", []byte("nameserver 198.51.100.99\n"), 0o644)); err != nil {
		t.Fatal(err)
	}

	// the first boot of a cluster: no API server exists, and no DNS server answers
	const cutAfter = 6 * time.Second
	h.Apply(kubeSpec(6, time.Hour, fmt.Sprintf("  healthCheck: {cutAfter: %v}\n", cutAfter)))
	w.Eventually("the virtual IP is there before the first API server", 10*time.Second, h.Active)
	within(h, 10*time.Second, false, "kube-apiserver", names...)
	if !h.Active() {
		t.Error("the virtual IP went with the API servers")
	}
	start := time.Now()
	h.Must("systemctl", "restart", "haproxy")
	t.Logf("HAProxy starts in %v without DNS", time.Since(start).Round(time.Millisecond))
	within(h, 10*time.Second, false, "kube-apiserver", names...)
	within(h, 10*time.Second, false, "verified", names...)
	set(lab.OK, lab.OK, lab.OK, lab.OK, lab.OK, lab.OK)
	within(h, 5*time.Second, true, "kube-apiserver", names...)
	within(h, time.Second, true, "verified", names...)
	w.Serves(names...)

	// each but the last fails in its own way. The idle connections to the failed ones are cut; the one to the server that
	// answers 500 is cut by the daemon, and not before cutAfter. The others stay.
	e2e.StartDaemon(h)
	held := quiet(w, pair.Service, names...)
	failed := time.Now()
	set(lab.Hang, lab.Fail(500), lab.Plain, lab.Refuse, lab.Stranger)
	within(h, 8500*time.Millisecond, false, "kube-apiserver", "cp1", "cp2", "cp3", "cp4") // 6 to 8.05 s, and the time to notice
	within(h, 8*time.Second, false, "verified", "cp1", "cp2", "cp3", "cp4", "cp5")
	w.Eventually("the connection to cp2, which answers 500, is cut", 10*time.Second, func() bool { _, cut, _ := held["cp2"].Cut(); return cut })
	if at, _, _ := held["cp2"].Cut(); at.Sub(failed) < cutAfter {
		t.Errorf("the connection to cp2 was cut %v after its first 500", at.Sub(failed))
	}
	explains(h, "kube-apiserver", "cp2", "draining: ", "500")
	var cp2 contract.ServerState
	w.Eventually("the status has the answer of cp2: while a check runs, HAProxy has none", 5*time.Second, func() bool {
		cp2 = states(h, "kube-apiserver")["cp2"]
		return cp2.HTTPStatus != 0
	})
	if told := cp2.CutAt.Sub(failed); cp2.HTTPStatus != 500 || told < cutAfter-contract.SinceRounding || told > cutAfter+4*time.Second { // a check every 2 s
		t.Errorf("cp2 answers %d, its connections are cut %v after that began; want 500 and %v", cp2.HTTPStatus, told, cutAfter)
	}
	for _, name := range names {
		_, cut, err := held[name].Cut()
		if down := name < "cp5"; cut != down {
			t.Errorf("the quiet connection to %s was cut: %v, %v", name, cut, err)
		}
	}
	set(lab.OK, lab.OK, lab.OK, lab.OK, lab.OK)
	within(h, 5*time.Second, true, "kube-apiserver", names...)
	w.Serves(names...)

	// an API server without anonymous access: if 401 is not expected, the server is down and the status says why; by
	// default it serves. With cutAfter 0s it then loses its connections.
	h.Apply(kubeSpec(6, time.Hour, "  healthCheck: {expectStatus: [200], cutAfter: 0s}\n  failOpen: false\n"))
	within(h, 5*time.Second, true, "kube-apiserver", names...)
	isCut := func(conn *lab.LongConn) bool { _, cut, _ := conn.Cut(); return cut }
	strict, verified := quiet(w, pair.Service, "cp1", "cp6"), quiet(w, verifiedService, "cp1", "cp2", "cp3")
	set(lab.Unauthorized)
	within(h, 8*time.Second, false, "kube-apiserver", "cp1")
	explains(h, "kube-apiserver", "cp1", "expectStatus", "L7STS 401")
	w.Eventually("the connection to cp1, which answers 401, is cut", time.Second, func() bool { return isCut(strict["cp1"]) })
	if isCut(strict["cp6"]) || isCut(held["cp6"]) {
		t.Error("a quiet connection did not stay")
	}

	// All fail: new connections go to all, or are refused with failOpen false. Connections that were opened meanwhile are
	// cut once their server is down and another one is up. cp1 is down because of its certificate, after it was draining.
	fails := lab.Fail(500)
	set(fails, fails, fails, fails, fails, fails)
	within(h, 5*time.Second, false, "kube-apiserver", names...)
	within(h, 5*time.Second, false, "verified", names...)
	if name, err := w.Client.Get(t.Context(), pair.Service); err == nil {
		t.Errorf("all fail, failOpen is false, and %s gets a new connection", name)
	}
	st, _ := h.Status()
	if c := st.Condition("Serving"); c.Status != "False" || c.Reason != "NoServerUp" || !e2e.InOrder(c.Message, "kube-apiserver has no server that is up", "verified has no server that is up", "(failOpen)") {
		t.Errorf("Serving is %s, %s: %s", c.Status, c.Reason, c.Message)
	}
	open := quiet(w, verifiedService, "cp1", "cp2")
	set(lab.Stranger)
	w.Eventually("the connection to cp1, which drained, is cut", 5*time.Second, func() bool { return isCut(verified["cp1"]) })
	select {
	case <-open["cp1"].Done():
		t.Error("no server is up, and what was opened while all failed is cut")
	case <-time.After(2500 * time.Millisecond): // the daemon checks every two seconds
	}
	set(lab.Stranger, lab.OK)
	w.Eventually("what cp1 got while all failed is cut", 10*time.Second, func() bool { return isCut(open["cp1"]) })
	if !states(h, "verified")["cp2"].Up() {
		t.Error("no server was up yet")
	}
	if isCut(open["cp2"]) || isCut(verified["cp2"]) || isCut(verified["cp3"]) {
		t.Error("a connection to a server that is up or drains is cut")
	}
	set(lab.OK, lab.OK, lab.OK, lab.OK, lab.OK, lab.OK)
	within(h, 5*time.Second, true, "kube-apiserver", names...)

	held = quiet(w, pair.Service, "cp6")
	h.Apply(kubeSpec(6, 3*time.Second, ""))
	within(h, 5*time.Second, true, "kube-apiserver", names...)
	w.Serves(names...)

	// timeouts.tunnel limits an idle connection, not client or server; a connection from before the edit keeps its own
	// limit
	short := quiet(w, pair.Service, "cp1", "cp6")
	start = time.Now()
	for name, conn := range short {
		select {
		case <-conn.Done():
		case <-time.After(6 * time.Second):
		}
		at, cut, err := conn.Cut()
		if lived := at.Sub(start); !cut || lived < 2500*time.Millisecond {
			t.Errorf("a quiet connection to %s with a tunnel timeout of 3 s: cut %v after %v, %v", name, cut, lived, err)
		}
	}
	if _, cut, err := held["cp6"].Cut(); cut {
		t.Errorf("a reload cut a quiet connection: %v", err)
	}
}

// quiet opens idle connections until there is one to each of the named control planes.
func quiet(w *e2e.World, target string, names ...string) map[string]*lab.LongConn {
	w.Helper()
	conns := map[string]*lab.LongConn{}
	w.Eventually(fmt.Sprintf("quiet connections to %v", names), 10*time.Second, func() bool {
		conn, err := w.Client.LongConn(w.Context(), target)
		if err != nil {
			w.Fatal(err)
		}
		if conns[conn.Server] != nil || !slices.Contains(names, conn.Server) {
			conn.Close()
			return false
		}
		conns[conn.Server] = conn
		return len(slices.Collect(maps.Keys(conns))) == len(names)
	})
	return conns
}
