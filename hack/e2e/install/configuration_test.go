package install

import (
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// TestClosedFirewall: an INPUT chain that is closed by its policy or by a REJECT at its end blocks neither clients
// nor the peer's advertisements.
func TestClosedFirewall(t *testing.T) {
	w := e2e.New(t)
	hosts := w.Hosts(true, lab.Trixie, lab.Trixie)
	for _, h := range hosts {
		h.Shell(`iptables -A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT
			iptables -A INPUT -p icmp -j ACCEPT
			iptables -A INPUT -i lo -j ACCEPT
			iptables -A INPUT -j REJECT
			iptables -P INPUT DROP`)
		h.Apply(e2e.Spec())
	}
	active, standby := w.Roles(hosts[0], hosts[1])
	w.Serves("cp1", "cp2", "cp3")
	w.Never("both hosts hold the virtual IP", 5*time.Second, func() bool { return active.Active() && standby.Active() })
	if rules := strings.Split(active.Must("iptables", "-S", "INPUT"), "\n"); rules[0] != "-P INPUT DROP" || rules[1] != "-A INPUT -j RLB-INPUT" {
		t.Errorf("INPUT: %q", rules)
	}

	// only clients in allowFrom reach the service, whatever else the host accepts
	for _, h := range hosts {
		h.Shell("iptables -P INPUT ACCEPT; iptables -D INPUT -j REJECT")
		h.Apply(e2e.Spec("firewall:", "  allowFrom: [198.51.100.64/26]"))
	}
	w.Eventually("the client is kept out", 5*time.Second, func() bool {
		_, err := w.Client.Get(t.Context(), pair.Service)
		return err != nil
	})
	for _, h := range hosts {
		h.Apply(e2e.Spec("firewall:", "  allowFrom: [198.51.100.50/32]"))
	}
	w.Serves("cp1", "cp2", "cp3")

	// with firewall.manage: false none of our rules stay
	for _, h := range hosts {
		h.Apply(e2e.Spec("firewall:", "  manage: false"))
		if out := h.Shell("iptables-save; ip6tables-save; ls /etc/systemd/system /var/lib/rlb"); strings.Contains(out, "RLB-") || strings.Contains(out, "rlb-firewall") || strings.Contains(out, "rules.v4") {
			t.Errorf("%s: left behind: %s", h.Name(), out)
		}
	}
}

// TestConfigurationElsewhere: the units' environment names other files, and the services run with the old ones: they
// are restarted with the new ones.
func TestConfigurationElsewhere(t *testing.T) {
	w := e2e.New(t)
	h := w.Hosts(true, lab.Trixie)[0]
	h.Shell(`mkdir -p /srv/ha; cp /etc/haproxy/haproxy.cfg /srv/ha/my.cfg
		echo CONFIG=/srv/ha/my.cfg >> /etc/default/haproxy
		echo 'DAEMON_ARGS="-D -f /srv/ha/ka.conf"' >> /etc/default/keepalived`)
	h.Apply(e2e.Spec())
	w.Serves("cp1", "cp2", "cp3")
	for _, want := range []string{"-f /srv/ha/my.cfg", "-f /srv/ha/ka.conf"} {
		if out := h.Shell("cat /proc/$(systemctl show --value -p MainPID haproxy)/cmdline /proc/$(systemctl show --value -p MainPID keepalived)/cmdline | tr '\\0' ' '"); !strings.Contains(out, want) {
			t.Errorf("no process runs with %s: %s", want, out)
		}
	}
	if out := h.Must(pair.Agent, "--once"); !strings.Contains(out, "nothing to do") {
		t.Errorf("second run: %s", out)
	}
	h.Shell("echo '# mine' >> /srv/ha/my.cfg; systemctl disable --now haproxy; systemctl mask --now keepalived")
	h.Must(pair.Agent, "--once")
	w.Serves("cp1", "cp2", "cp3")
	if out := h.Must(pair.Agent, "--once"); !strings.Contains(out, "nothing to do") {
		t.Errorf("run after the repair: %s", out)
	}
}
