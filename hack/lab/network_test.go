package lab_test

import (
	"testing"
	"time"

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
		is := func(want bool, from *lab.Host, addr string) bool {
			for range 3 { // a busy machine answers late
				if hears(from, addr) == want {
					return true
				}
			}
			return false
		}
		if !is(peers, a, "198.51.100.12") || !is(peers, b, "198.51.100.11") {
			t.Errorf("%s: the hosts hear each other: %v", when, !peers)
		}
		if !is(clients, a, "198.51.100.50") || !is(true, b, "198.51.100.50") {
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
	took := make(chan time.Duration, 1)
	go func() {
		d, err := l.PartitionFor(4*time.Second, a, b)
		if err != nil {
			t.Error(err)
		}
		took <- d
	}()
	for began := time.Now(); hears(a, "198.51.100.12") && time.Since(began) < time.Second; {
	}
	expect("parted for a time", false, true)
	if d := <-took; d < 4*time.Second || d > 5*time.Second {
		t.Errorf("a partition of 4 s took %v", d)
	}
	expect("after it", true, true)
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
