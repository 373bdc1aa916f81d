package failover

import (
	"context"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// TestReboot: after a reboot without the agent, the port is open, the services run, and the host is part of the pair.
func TestReboot(t *testing.T) {
	w := e2e.New(t)
	closed := "#!/bin/sh\niptables -P INPUT DROP\niptables -A INPUT -p icmp -j ACCEPT\niptables -A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT\nexit 0\n"
	hosts := w.Hosts(true, lab.Trixie, lab.Trixie)
	for _, h := range hosts {
		if err := h.WriteFile("/etc/rc.local", []byte(closed), 0o755); err != nil {
			t.Fatal(err)
		}
		h.Shell("/etc/rc.local")
		h.Apply(e2e.Spec())
	}
	active, standby := w.Roles(hosts[0], hosts[1])
	w.Serves("cp1", "cp2", "cp3")

	report := w.Probe(time.Second, func() {
		if err := active.Reboot(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("reboot of the active host: gap %v", report.Gap)
	w.Eventually("services up after the reboot", 10*time.Second, func() bool {
		return active.Is("active", "haproxy", "active") && active.Is("active", "keepalived", "active") && active.Is("active", "rc-local", "active")
	})
	w.Never("fail-back, or two holders", 4*time.Second, func() bool { return active.Active() || !standby.Active() })
	if out := active.Must("iptables", "-S"); !e2e.InOrder(out, "-P INPUT DROP", "-A INPUT -j RLB-INPUT", "--dport 9000 -j ACCEPT") {
		t.Errorf("rules after the reboot:\n%s", out)
	}
	standby.Must("systemctl", "stop", "keepalived")
	w.Eventually("the rebooted host takes over", 5*time.Second, active.Active)
	w.Serves("cp1", "cp2", "cp3")
	if out := active.Must(pair.Agent, "--once"); !strings.Contains(out, "nothing to do") {
		t.Errorf("a run after the reboot: %s", out)
	}
}

// knock connects repeatedly, and prints a character for each attempt: "A" if it was accepted.
const knock = `use IO::Socket::INET; $| = 1;
while (1) { print IO::Socket::INET->new(PeerAddr => $ARGV[0], Timeout => 0.02) ? "A" : "."; select(undef, undef, undef, 0.005) }`

// TestRebootWithAllowFrom: a client that is not in allowFrom is accepted at no moment of a boot, without the agent, and
// even if rlb-firewall.service fails: HAProxy's unit loads the rules before HAProxy starts. The same holds for the ports of
// the statistics and the metrics.
func TestRebootWithAllowFrom(t *testing.T) {
	w := e2e.New(t)
	hosts := w.Hosts(true, lab.Bookworm, lab.Trixie)
	h, node := hosts[0], hosts[1]
	h.Apply(e2e.Spec(pair.Nodes, "firewall: {allowFrom: [203.0.113.0/24]}", `proxy: {stats: {address: "0.0.0.0:8404"}}`, `metrics: {address: "0.0.0.0:9345"}`))
	h.Shell(`mkdir -p /etc/systemd/system/rlb-firewall.service.d
printf '[Service]\nExecStartPre=/bin/sleep 1\nExecStartPre=/bin/false\n' >/etc/systemd/system/rlb-firewall.service.d/fails.conf`)

	var stops []func()
	for _, target := range []string{h.Addr().String() + ":9000", h.Addr().String() + ":8404", pair.Service} {
		cmd := w.Client.Command(t.Context(), "perl", "-e", knock, target)
		var out strings.Builder
		cmd.Stdout = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stops = append(stops, func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if tries := out.String(); strings.Contains(tries, "A") || len(tries) < 50 {
				t.Errorf("%s was reached from a forbidden address, or not tried: %s", target, tries)
			}
		})
	}
	if err := h.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	reached := func(port string) bool {
		return node.Succeeds("perl -MIO::Socket::INET -e 'exit !IO::Socket::INET->new(PeerAddr => \"" + h.Addr().String() + ":" + port + "\", Timeout => 1)'")
	}
	w.Eventually("HAProxy serves after the boot", 15*time.Second, func() bool { return reached("9000") && reached("8404") })
	if !h.Is("failed", "rlb-firewall", "failed") {
		t.Error("rlb-firewall.service did not fail: the test shows nothing")
	}
	w.Eventually("it holds the virtual IP", 5*time.Second, h.Active)
	time.Sleep(time.Second) // knock at the virtual IP for this long
	for _, stop := range stops {
		stop()
	}
	e2e.StartDaemon(h)
	w.Eventually("a node reaches the metrics", 10*time.Second, func() bool { return reached("9345") })
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if conn, err := w.Client.Dial(ctx, h.Addr().String()+":9345"); err == nil {
		conn.Close()
		t.Error("the metrics were reached from a forbidden address")
	}
	h.Shell("systemctl stop rlb-agent")

	h.Shell("echo garbage >/var/lib/rlb/rules.v4; systemctl stop keepalived; iptables -F RLB-INPUT; systemctl restart haproxy || true")
	w.Never("HAProxy runs without its rules", time.Second, func() bool { return h.Is("active", "haproxy", "active") })
}
