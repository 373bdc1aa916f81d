package observe

import (
	"slices"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
	"rlb.dev/rlb-agent/reconcile/doctor"
)

// fixOf returns the fix of the finding whose title begins with title; "" without such a finding. If doctor's time limit
// on a busy machine ends before all is checked, it runs doctor again.
func fixOf(h *e2e.Host, title string) string {
	for range 3 {
		r, _ := examine(h)
		for _, f := range r.Findings {
			if strings.HasPrefix(f.Title, title) {
				return f.Fix
			}
		}
		if !slices.ContainsFunc(r.Checks, func(c doctor.Result) bool { return c.Result == doctor.Skipped }) {
			break
		}
	}
	return ""
}

// TestManagersOfTheHost: the real programs that manage a host besides the agent, as on Ubuntu: doctor names each, and
// its fix works.
func TestManagersOfTheHost(t *testing.T) {
	w := e2e.New(t)
	const port, vrrp = "the firewall drops connections to port 9000 (IPv4)", "the firewall drops VRRP of the peers (IPv4)"
	for _, h := range w.ManagedHosts(lab.Trixie, lab.Bookworm) {
		h.Apply(e2e.Spec(pair.Nodes, "firewall: {manage: false}"))

		h.Shell("sed -i 's/^IPV6=.*/IPV6=no/' /etc/default/ufw; ufw --force enable")
		for _, want := range []string{port, vrrp} {
			if fixOf(h, want) == "" {
				t.Errorf("%s, ufw: no finding %q", h.Name(), want)
			}
		}
		for _, finding := range []string{port, vrrp} {
			command, _, _ := strings.Cut(fixOf(h, finding), ", or ")
			h.Shell(command) // "ufw allow …"
		}
		if left := fixOf(h, "the firewall drops"); left != "" {
			t.Errorf("%s, ufw: still to do: %s", h.Name(), left)
		}
		r, _ := examine(h)
		for _, c := range r.Checks {
			if c.Check == "firewall" && (c.Result != doctor.Passed || !strings.Contains(c.Reason, "ufw is on")) {
				t.Errorf("%s, ufw: %+v", h.Name(), c)
			}
		}
		h.Shell("ufw disable; iptables -F; iptables -P INPUT ACCEPT")

		h.Shell("systemctl start firewalld && firewall-cmd --state")
		for _, want := range []string{port, vrrp} {
			fix := fixOf(h, want)
			if !strings.HasPrefix(fix, "firewall-cmd --permanent ") {
				t.Errorf("%s, firewalld: %q: %q", h.Name(), want, fix)
				continue
			}
			h.Shell(fix)
		}
		if left := fixOf(h, "the firewall drops"); left != "" {
			t.Errorf("%s, firewalld: still to do: %s", h.Name(), left)
		}
		h.Shell("systemctl stop firewalld")

		const needrestart = "needrestart restarts the programs"
		_, rule, _ := strings.Cut(fixOf(h, needrestart), "rlb.conf: ")
		h.Shell("printf '%s\\n' '" + rule + "' >/etc/needrestart/conf.d/rlb.conf; perl -c /etc/needrestart/conf.d/rlb.conf")
		if left := fixOf(h, needrestart); left != "" || rule == "" {
			t.Errorf("%s, needrestart: fix %q, then %q", h.Name(), rule, left)
		}

		const reboots = "unattended-upgrades may reboot both hosts at once"
		h.Shell(`printf '%s\n' 'APT::Periodic::Unattended-Upgrade "1";' 'Unattended-Upgrade::Automatic-Reboot "true";' >/etc/apt/apt.conf.d/60reboot`)
		setting, _, _ := strings.Cut(fixOf(h, reboots), " in /etc/apt")
		h.Shell("printf '%s\\n' '" + setting + "' >>/etc/apt/apt.conf.d/60reboot; apt-config dump | grep -q 'Automatic-Reboot-Time \"03:00\"'")
		const restarts = "unattended-upgrades restarts the programs"
		h.Shell("apt-mark unhold haproxy")
		if fix := fixOf(h, restarts); !strings.HasPrefix(fix, "rlb-agent --once") {
			t.Errorf("%s, haproxy is not held: %q", h.Name(), fix)
		}
		h.Shell(pair.Agent + " --once")
		if left := fixOf(h, restarts); left != "" {
			t.Errorf("%s, after a run: %s", h.Name(), left)
		}
		if left := fixOf(h, reboots); left != "" || setting == "" {
			t.Errorf("%s, unattended-upgrades: fix %q, then %q", h.Name(), setting, left)
		}

		const networkd = "systemd-networkd would remove the virtual IPs"
		h.Shell(`umask 077; mkdir -p /etc/netplan; printf '%s\n' 'network:' '  renderer: networkd' '  ethernets:' '    eth0:' '      addresses: [` +
			h.Addr().String() + `/24]' >/etc/netplan/50-lab.yaml; netplan generate; systemctl start systemd-networkd`)
		w.Eventually("networkd manages eth0", 10*time.Second, func() bool { return h.Succeeds("grep -q netplan /run/systemd/netif/links/*") })
		fix := fixOf(h, networkd)
		dropIn, rest, _ := strings.Cut(strings.TrimPrefix(fix, "write to "), ", which netplan leaves alone: [Network] ")
		line, command, _ := strings.Cut(rest, "; then ")
		if command == "" {
			t.Fatalf("%s, netplan: %q", h.Name(), fix)
		}
		h.Shell("umask 022; mkdir -p $(dirname " + dropIn + "); printf '[Network]\\n%s\\n' " + line + " >" + dropIn + "; " + command + "; netplan generate")
		if left := fixOf(h, networkd); left != "" {
			t.Errorf("%s, netplan: still to do: %s", h.Name(), left)
		}
		h.Shell("systemctl stop keepalived; ip addr add 198.51.100.77/32 dev eth0; networkctl reload; systemctl restart systemd-networkd")
		w.Never("an address of others is removed", 2*time.Second, func() bool { return !h.Succeeds("ip addr show dev eth0 | grep -q 198.51.100.77") })
	}
}
