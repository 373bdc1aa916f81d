package lab_test

import (
	"testing"

	"rlb.dev/rlb-agent/hack/lab"
)

func TestCutAndPartition(t *testing.T) {
	ctx, l := newLab(t)
	hosts := addHosts(ctx, t, l, lab.Bookworm, lab.Bookworm)
	a, b := hosts[0], hosts[1]
	if _, err := l.AddClient(ctx, "client", prefix(50)); err != nil {
		t.Fatal(err)
	}
	// An answer to ARP shows that frames pass in both directions.
	hears := func(from *lab.Host, addr string) bool {
		_, err := from.Run(ctx, "bash", "-c", "ip neigh flush all; echo >/dev/udp/"+addr+"/9; sleep 0.1; ip neigh show "+addr+" | grep -q lladdr")
		return err == nil
	}
	expect := func(when string, peers, clients bool) {
		t.Helper()
		if hears(a, "198.51.100.12") != peers || hears(b, "198.51.100.11") != peers {
			t.Errorf("%s: the hosts hear each other: %v", when, !peers)
		}
		if hears(a, "198.51.100.50") != clients || !hears(b, "198.51.100.50") {
			t.Errorf("%s: wrong about the client", when)
		}
	}
	expect("at first", true, true)
	if err := l.Partition(a, b); err != nil {
		t.Fatal(err)
	}
	expect("parted", false, true)
	if err := l.Heal(); err != nil {
		t.Fatal(err)
	}
	expect("healed", true, true)
	if err := a.CutLink(); err != nil {
		t.Fatal(err)
	}
	expect("cut", false, false)
	if out := run(ctx, t, a, "cat /sys/class/net/eth0/carrier"); out != "0\n" {
		t.Errorf("carrier of a cut link is %q", out)
	}
	if err := a.RestoreLink(); err != nil {
		t.Fatal(err)
	}
	expect("restored", true, true)
}
