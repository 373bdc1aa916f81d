package install

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// The lab's network in two halves: the hosts move from the lower half to the upper one. Clients and servers stay; a
// route replaces the router between the halves.
const (
	oldHalf, newVIP = "198.51.100.0/25", "198.51.100.200"
	newNodes        = "nodes:\n- {name: lb1, addresses: [198.51.100.211]}\n- {name: lb2, addresses: [198.51.100.212]}"
)

// withVIPs returns the spec with these virtual IPs, in this order.
func withVIPs(spec, vips string) string {
	return strings.Replace(spec, "virtualIPs: ["+pair.VIP+"]", "virtualIPs: ["+vips+"]", 1)
}

// TestAnotherSubnet: on the migrate page, a serving pair moves to another subnet, step by step. In the middle its
// clients switch from the old virtual IP to the new one.
func TestAnotherSubnet(t *testing.T) {
	w := e2e.New(t)
	hosts := w.SSHHosts(lab.Trixie, lab.Trixie)
	for i, h := range hosts {
		h.Shell(fmt.Sprintf("ip address del 198.51.100.1%[1]d/24 dev eth0; ip address add 198.51.100.1%[1]d/25 dev eth0", i+1))
		h.Apply(e2e.Spec(pair.Nodes))
	}
	e2e.StartDaemon(hosts...)
	active, standby := w.Roles(hosts[0], hosts[1])
	w.Serves("cp1", "cp2", "cp3")
	laptop := w.NewLaptop(hosts...)
	laptop.KnowAs(hosts[0], "198.51.100.211")
	laptop.KnowAs(hosts[1], "198.51.100.212")
	push := func(name, spec string) {
		t.Helper()
		began := time.Now()
		if code, out := laptop.RunAgent("push", "--yes", laptop.Write("spec.yaml", spec)); code != 0 {
			t.Fatalf("%s: exit code %d\n%s", name, code, out)
		}
		t.Logf("%s: pushed in %v", name, time.Since(began).Round(time.Second))
	}

	old, err := w.Client.Probe(pair.Service, lab.ProbeOptions{Interval: 10 * time.Millisecond, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Stop()
	for i, h := range hosts {
		h.Shell(fmt.Sprintf("ip address add 198.51.100.21%d/25 dev eth0", i+1))
	}
	push("step 2", withVIPs(e2e.Spec(pair.Nodes), pair.VIP+", "+newVIP))
	w.Eventually("the new virtual IP serves", 5*time.Second, func() bool { _, err := w.Client.Get(t.Context(), newVIP+":9000"); return err == nil })
	probe, err := w.Client.Probe(newVIP+":9000", lab.ProbeOptions{Interval: 10 * time.Millisecond, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Stop()
	before := old.Stop()
	push("step 4", withVIPs(e2e.Spec(newNodes), newVIP+", "+pair.VIP))
	active, standby = w.Roles(active, standby)
	move := probe.Report()
	push("step 5", withVIPs(e2e.Spec(newNodes), newVIP))
	for i, h := range hosts {
		h.Shell(fmt.Sprintf("ip address del 198.51.100.1%d/25 dev eth0; ip route add %s dev eth0", i+1, oldHalf))
	}
	w.Eventually("both are ready", 15*time.Second, func() bool { return active.Succeeds("rlb-agent status") && standby.Succeeds("rlb-agent status") })
	after := probe.Stop()
	t.Logf("at the old virtual IP %d of %d failed, gap %v; at the new one %d of %d failed by step 4, gap %v; in all %d of %d failed, gap %v (late by %v): %v",
		before.Failed, before.Total, before.Gap, move.Failed, move.Total, move.Gap, after.Failed, after.Total, after.Gap, after.Late, after.Errors)
	if err := e2e.Lossless(before); err != nil {
		t.Errorf("a second virtual IP: %v", err)
	}
	if err := e2e.Within(after, 2*time.Second); err != nil {
		t.Error(err)
	}
}
