package e2e

import (
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// inOrder says whether the words stand in the text, one after the other.
func inOrder(text string, words ...string) bool {
	for _, word := range words {
		_, after, found := strings.Cut(text, word)
		if !found {
			return false
		}
		text = after
	}
	return true
}

// A closed INPUT, by policy and by a REJECT at its end, keeps neither clients nor the peer's advertisements out.
func TestClosedFirewall(t *testing.T) {
	w := newWorld(t)
	hosts := w.hosts(true, lab.Trixie, lab.Trixie)
	for _, h := range hosts {
		h.sh(`iptables -A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT
			iptables -A INPUT -p icmp -j ACCEPT
			iptables -A INPUT -i lo -j ACCEPT
			iptables -A INPUT -j REJECT
			iptables -P INPUT DROP`)
		h.apply(specOf())
	}
	active, standby := w.roles(hosts[0], hosts[1])
	w.serves("cp1", "cp2", "cp3")
	w.never("both hosts hold the virtual IP", 5*time.Second, func() bool { return active.active() && standby.active() })
	if rules := strings.Split(active.must("iptables", "-S", "INPUT"), "\n"); rules[0] != "-P INPUT DROP" || rules[1] != "-A INPUT -j RLB-INPUT" {
		t.Errorf("INPUT: %q", rules)
	}

	// only those who may reach the service do, whatever else the host lets in
	for _, h := range hosts {
		h.sh("iptables -P INPUT ACCEPT; iptables -D INPUT -j REJECT")
		h.apply(specOf("firewall:", "  allowFrom: [198.51.100.64/26]"))
	}
	w.eventually("the client is kept out", 5*time.Second, func() bool {
		_, err := w.client.Get(t.Context(), service)
		return err != nil
	})
	for _, h := range hosts {
		h.apply(specOf("firewall:", "  allowFrom: [198.51.100.50/32]"))
	}
	w.serves("cp1", "cp2", "cp3")

	// without a say in the firewall nothing of ours stays in it
	for _, h := range hosts {
		h.apply(specOf("firewall:", "  manage: false"))
		if out := h.sh("iptables-save; ip6tables-save; ls /etc/systemd/system /var/lib/rlb"); strings.Contains(out, "RLB-") || strings.Contains(out, "rlb-firewall") || strings.Contains(out, "rules.v4") {
			t.Errorf("%s: left behind: %s", h.Name(), out)
		}
	}
}

// A frontend that is bound to the virtual IP starts on the standby, and serves there after a failover.
func TestBindToVirtualIP(t *testing.T) {
	w := newWorld(t)
	active, standby := w.pair(strings.Replace(specOf(), "  port: 9000", "  port: 9000\n  bind: "+vip, 1), lab.Trixie, lab.Trixie)
	w.serves("cp1", "cp2", "cp3")
	if out := standby.sh("ss -Hltn sport = :9000"); !strings.Contains(out, service) {
		t.Fatalf("the standby does not listen on %s: %s", service, out)
	}
	active.must("systemctl", "stop", "keepalived")
	w.eventually("failover", 5*time.Second, standby.active)
	w.serves("cp1", "cp2", "cp3")
}

// A host comes back from a reboot without the agent: port open, services up, part of the pair.
func TestReboot(t *testing.T) {
	w := newWorld(t)
	closed := "#!/bin/sh\niptables -P INPUT DROP\niptables -A INPUT -p icmp -j ACCEPT\niptables -A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT\nexit 0\n"
	hosts := w.hosts(true, lab.Trixie, lab.Trixie)
	for _, h := range hosts {
		if err := h.WriteFile("/etc/rc.local", []byte(closed), 0o755); err != nil {
			t.Fatal(err)
		}
		h.sh("/etc/rc.local")
		h.apply(specOf())
	}
	active, standby := w.roles(hosts[0], hosts[1])
	w.serves("cp1", "cp2", "cp3")

	report := w.probe(time.Second, func() {
		if err := active.Reboot(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("reboot of the active host: gap %v", report.Gap)
	w.eventually("services up after the reboot", 10*time.Second, func() bool {
		return active.is("active", "haproxy", "active") && active.is("active", "keepalived", "active") && active.is("active", "rc-local", "active")
	})
	w.never("fail-back, or two holders", 4*time.Second, func() bool { return active.active() || !standby.active() })
	if out := active.must("iptables", "-S"); !inOrder(out, "-P INPUT DROP", "-A INPUT -j RLB-INPUT", "--dport 9000 -j ACCEPT") {
		t.Errorf("rules after the reboot:\n%s", out)
	}
	standby.must("systemctl", "stop", "keepalived")
	w.eventually("the rebooted host takes over", 5*time.Second, active.active)
	w.serves("cp1", "cp2", "cp3")
	if out := active.must(agent, "--once"); !strings.Contains(out, "nothing to do") {
		t.Errorf("a run after the reboot: %s", out)
	}
}

// An edit goes live without a failed connection.
func TestEditUnderLoad(t *testing.T) {
	w := newWorld(t)
	two := strings.Replace(specOf(), "  - {name: cp3, address: 198.51.100.23, port: 6443}\n", "", 1)
	active, standby := w.pair(two, lab.Trixie, lab.Trixie)
	w.serves("cp1", "cp2")
	report := w.probe(time.Second, func() {
		standby.apply(specOf())
		active.apply(specOf())
		w.serves("cp3")
	})
	if report.Failed > 0 && report.Late < stall {
		t.Errorf("%d of %d connections failed in an edit: %v", report.Failed, report.Total, report.Errors)
	}
	if !active.active() || standby.active() {
		t.Error("the edit moved the virtual IP")
	}
}

// The units' environment names other files, and the services run with the old ones: they are restarted with the new.
func TestConfigurationElsewhere(t *testing.T) {
	w := newWorld(t)
	h := w.hosts(true, lab.Trixie)[0]
	h.sh(`mkdir -p /srv/ha; cp /etc/haproxy/haproxy.cfg /srv/ha/my.cfg
		echo CONFIG=/srv/ha/my.cfg >> /etc/default/haproxy
		echo 'DAEMON_ARGS="-D -f /srv/ha/ka.conf"' >> /etc/default/keepalived`)
	h.apply(specOf())
	w.serves("cp1", "cp2", "cp3")
	for _, want := range []string{"-f /srv/ha/my.cfg", "-f /srv/ha/ka.conf"} {
		if out := h.sh("cat /proc/$(systemctl show --value -p MainPID haproxy)/cmdline /proc/$(systemctl show --value -p MainPID keepalived)/cmdline | tr '\\0' ' '"); !strings.Contains(out, want) {
			t.Errorf("no process runs with %s: %s", want, out)
		}
	}
	if out := h.must(agent, "--once"); !strings.Contains(out, "nothing to do") {
		t.Errorf("second run: %s", out)
	}
	h.sh("echo '# mine' >> /srv/ha/my.cfg; systemctl disable --now haproxy; systemctl mask --now keepalived")
	h.must(agent, "--once")
	w.serves("cp1", "cp2", "cp3")
	if out := h.must(agent, "--once"); !strings.Contains(out, "nothing to do") {
		t.Errorf("run after the repair: %s", out)
	}
}
