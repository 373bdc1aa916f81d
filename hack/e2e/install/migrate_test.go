package install

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// handmade installs the two files of a guide, with the lab's addresses, on a host with this priority.
func handmade(h *e2e.Host, guide string, priority int) {
	h.World.Helper()
	here := strings.NewReplacer("192.0.2.40", pair.VIP, "192.0.2.50", pair.VIP, "192.0.2.4", "198.51.100.2", "192.0.2.5", "198.51.100.2",
		"ens18", "eth0", "eth1", "eth0", "*:8443", "*:9000", "frontend k3s-frontend\n    bind *:6443", "frontend k3s-frontend\n    bind *:9000",
		"priority 101", fmt.Sprint("priority ", priority), "priority 200", fmt.Sprint("priority ", priority))
	for _, name := range []string{"haproxy", "keepalived"} {
		file := map[string]string{"haproxy": "haproxy.cfg", "keepalived": "keepalived.conf"}[name]
		data, err := os.ReadFile(filepath.Join("../../../reconcile/importer/testdata", guide, file))
		if err != nil {
			h.World.Fatal(err)
		}
		if err := h.WriteFile("/etc/"+name+"/"+file, []byte(here.Replace(string(data))), 0o644); err != nil {
			h.World.Fatal(err)
		}
	}
	h.Shell("printf '#!/bin/sh\\nexit 0\\n' >/etc/keepalived/check_apiserver.sh; chmod 755 /etc/keepalived/check_apiserver.sh; systemctl enable haproxy keepalived; systemctl restart haproxy keepalived")
}

// oneRouter checks that a host with a guide's files and one with their import are one virtual router: one of them holds
// the virtual IP, and either takes it over. The first one holds it before and after.
func oneRouter(w *e2e.World, theirs, imported *e2e.Host) {
	w.Helper()
	w.Never("the imported host takes the virtual IP", 4500*time.Millisecond, imported.Active) // three intervals and the skew time
	theirs.Shell("systemctl stop keepalived")
	w.Eventually("the imported host takes over", 5*time.Second, imported.Active)
	theirs.Shell("systemctl start keepalived")
	w.Roles(theirs, imported)
	imported.Shell("systemctl restart keepalived")
	w.Eventually("the guide's host takes over", 10*time.Second, func() bool { return theirs.Active() && !imported.Active() })
}

// TestMigrate: the migrate page's procedure takes over pairs built by kubeadm's guide and by k3s' recipe, the standby
// first. No gap is longer than that of one of their own failovers.
func TestMigrate(t *testing.T) {
	for _, guide := range []string{"kubeadm", "k3s"} {
		t.Run(guide, func(t *testing.T) {
			w := e2e.New(t)
			hosts := w.Hosts(true, lab.Trixie, lab.Trixie)
			handmade(hosts[0], guide, 101)
			handmade(hosts[1], guide, 100)
			active, standby := w.Roles(hosts[0], hosts[1])
			w.Serves("cp1", "cp2", "cp3")
			spec := active.Must(pair.Agent, "import", "--profile", "standard", "--node", "lb1=198.51.100.11,lb2=198.51.100.12")
			suggests := func(when string, want bool) {
				t.Helper()
				_, out := standby.RunAgent("--once", "--dry-run")
				for _, file := range []string{"/etc/haproxy/haproxy.cfg", "/etc/keepalived/keepalived.conf"} {
					if strings.Contains(out, file+" is not the agent's: the spec replaces it, and teardown brings it back") != want {
						t.Errorf("%s: import is suggested for %s: %t, want %t:\n%s", when, file, !want, want, out)
					}
				}
			}
			standby.WriteSpec(spec)
			suggests("before the first run", true)
			step := func(host *e2e.Host) {
				t.Helper()
				report := w.Probe(2*time.Second, func() {
					host.Apply(spec)
					w.Roles(active, standby)
				})
				t.Logf("%s, %s: gap %v, %d of %d failed", guide, host.Name(), report.Gap, report.Failed, report.Total)
				if report.Gap > 5*time.Second {
					t.Errorf("gap %v: %v", report.Gap, report.Errors)
				}
			}
			step(standby)
			oneRouter(w, active, standby)
			step(active)
			w.Serves("cp1", "cp2", "cp3")
			for _, h := range hosts {
				e2e.StartDaemon(h)
			}
			w.Eventually("both are ready", 15*time.Second, func() bool { return active.Succeeds("rlb-agent status") && standby.Succeeds("rlb-agent status") })
			suggests("with a spec in force", false)
		})
	}
}

// nodes names some of the lab's hosts.
func nodes(numbers ...int) string {
	text := "nodes:\n"
	for _, n := range numbers {
		text += fmt.Sprintf("- {name: lb%d, addresses: [198.51.100.%d]}\n", n, 10+n)
	}
	return text
}

// TestThirdHostAndDeadHost: on the migrate page, a third host joins a serving pair, the active one dies and is removed
// from the spec.
func TestThirdHostAndDeadHost(t *testing.T) {
	w := e2e.New(t)
	hosts := w.Hosts(true, lab.Trixie, lab.Trixie, lab.Bookworm)
	for _, h := range hosts[:2] {
		h.Apply(e2e.Spec(nodes(1, 2)))
		e2e.StartDaemon(h)
	}
	active, standby := w.Roles(hosts[0], hosts[1])
	w.Serves("cp1", "cp2", "cp3")
	report := w.Losses(2*time.Second, func() {
		for _, h := range []*e2e.Host{standby, active} {
			h.WriteSpec(e2e.Spec(nodes(1, 2, 3)))
		}
		for _, h := range []*e2e.Host{standby, active} {
			w.Eventually("the spec is in force", 10*time.Second, func() bool { return h.Succeeds("rlb-agent --once | grep -q 'nothing to do'") })
		}
		hosts[2].Apply(e2e.Spec(nodes(1, 2, 3)))
		e2e.StartDaemon(hosts[2])
		w.Eventually("three are ready", 20*time.Second, func() bool {
			return hosts[0].Succeeds("rlb-agent status") && hosts[1].Succeeds("rlb-agent status") && hosts[2].Succeeds("rlb-agent status")
		})
	})
	if report.Failed > 0 || !active.Active() {
		t.Errorf("a third host cost %d of %d connections, gap %v: %v", report.Failed, report.Total, report.Gap, report.Errors)
	}
	active.Crash()
	left := []*e2e.Host{standby, hosts[2]}
	w.Roles(left[0], left[1])
	dead := map[string]int{"lb1": 1, "lb2": 2}[active.Name()]
	report = w.Losses(2*time.Second, func() {
		for _, h := range left {
			h.WriteSpec(e2e.Spec(nodes(3-dead, 3)))
		}
		for _, h := range left {
			w.Eventually("the spec is in force", 10*time.Second, func() bool { return h.Succeeds("rlb-agent --once | grep -q 'nothing to do'") })
		}
		w.Eventually("both are ready", 20*time.Second, func() bool { return left[0].Succeeds("rlb-agent status") && left[1].Succeeds("rlb-agent status") })
	})
	if report.Failed > 0 {
		t.Errorf("leaving the dead host out cost %d of %d connections, gap %v: %v", report.Failed, report.Total, report.Gap, report.Errors)
	}
}
