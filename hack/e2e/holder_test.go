package e2e

import (
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// holders is who held the virtual IP over a while, seen from inside of both hosts.
type holders struct {
	two, none time.Duration // the longest time without a break that both held it, that none did
	last      time.Duration // from the beginning until both held it for the last time
}

// holdersDuring looks on while something is done.
func (w *world) holdersDuring(a, b *host, do func()) (seen holders) {
	w.Helper()
	vip := netip.MustParseAddr(vip)
	stop := make(chan bool)
	var looking sync.WaitGroup
	looking.Go(func() {
		began, before, since := time.Now(), 1, time.Now()
		for {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			now, count := time.Now(), 0
			for _, h := range []*host{a, b} {
				if h.HoldsAddress(vip) {
					count++
				}
			}
			if count != before {
				before, since = count, now
			}
			switch count {
			case 0:
				seen.none = max(seen.none, now.Sub(since))
			case 2:
				seen.two, seen.last = max(seen.two, now.Sub(since)), now.Sub(began)
			}
		}
	})
	do()
	close(stop)
	looking.Wait()
	return seen
}

// vrrpDropped adds (-I) or deletes (-D) a rule behind the packet sockets and before keepalived, where the agent does not
// look after the rules.
func vrrpDropped(do string) string { return "iptables -t mangle " + do + " INPUT -p 112 -j DROP" }

// One host holds the virtual IP, whatever happens to keepalived, by hand, and to the network.
func TestHolder(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair(specOf(nodes), lab.Trixie, lab.Bookworm)
	withDaemon(a, b)
	settled := func(name string) (active, standby *host) {
		t.Helper()
		w.never(name+": flaps", time.Second, func() bool { return a.active() == b.active() })
		return w.roles(a, b)
	}

	// stopped first, else one of its processes may hear of the other's end and say goodbye
	const kill = "systemctl kill -s STOP keepalived; systemctl kill -s KILL keepalived"
	for range 2 { // on either host
		active, standby := w.roles(a, b)
		var seen holders
		// one connection may be open in the moment of the takeover
		report := w.probe(0, func() {
			seen = w.holdersDuring(a, b, func() {
				active.sh(kill)
				time.Sleep(time.Second)
			})
		})
		t.Logf("keepalived killed on %s: %+v, %d of %d failed", active.Name(), seen, report.Failed, report.Total)
		if report.Late < stall && (seen.last > 500*time.Millisecond || seen.none > 0 || report.Failed > 1) {
			t.Errorf("keepalived killed: %+v, %d of %d failed: %v", seen, report.Failed, report.Total, report.Errors)
		}
		if !standby.active() {
			t.Error("keepalived killed: its peer did not take over")
		}
		settled("keepalived killed")
	}

	// one that hangs advertises nothing, and lets go of nothing
	active, standby := w.roles(a, b)
	var seen holders
	report := w.probe(0, func() {
		seen = w.holdersDuring(a, b, func() {
			active.sh("systemctl kill -s STOP keepalived")
			time.Sleep(2 * time.Second)
		})
	})
	t.Logf("keepalived hangs: %+v", seen)
	if report.Late < stall && (seen.two > time.Second || seen.none > 0) || !standby.active() || active.active() {
		t.Errorf("keepalived hangs: %+v", seen)
	}
	w.eventually("it is a standby again", 5*time.Second, func() bool { return active.is("active", "keepalived", "active") })
	settled("keepalived hung")

	const dropIn = "/run/systemd/system/keepalived.service.d/broken.conf"
	active, _ = w.roles(a, b)
	active.sh("mkdir -p /run/systemd/system/keepalived.service.d")
	seen = w.holdersDuring(a, b, func() {
		active.sh("printf '[Service]\\nExecStartPre=/bin/false\\n' > " + dropIn + "; systemctl daemon-reload; " + kill)
		time.Sleep(1500 * time.Millisecond)
	})
	t.Logf("keepalived killed for good: %+v", seen)
	if seen.last > time.Second || seen.none > 0 || active.active() {
		t.Errorf("keepalived killed for good: %+v", seen)
	}
	if out := active.sh("journalctl -u rlb-agent --no-pager -o cat"); !strings.Contains(out, "took "+vip+" off eth0") {
		t.Error("nothing is said of it")
	}
	active.sh("rm " + dropIn + "; systemctl daemon-reload; systemctl start keepalived")
	settled("keepalived is back")

	active, standby = w.roles(a, b)
	seen = w.holdersDuring(a, b, func() {
		standby.sh("ip address add " + vip + "/32 dev eth0")
		time.Sleep(1500 * time.Millisecond)
	})
	t.Logf("added by hand: %+v", seen)
	if seen.two > time.Second || seen.none > 0 || !active.active() {
		t.Errorf("added by hand: %+v", seen)
	}

	for _, deaf := range [][]*host{{standby}, {a, b}} {
		name := "deaf"
		for _, h := range deaf {
			name += " " + h.Name()
			h.sh(vrrpDropped("-I"))
		}
		seen = w.holdersDuring(a, b, func() { time.Sleep(15 * time.Second) })
		t.Logf("%s: %+v", name, seen)
		if seen.two > time.Second || seen.none > time.Second || seen.last > 2*time.Second {
			t.Errorf("%s: %+v", name, seen)
		}
		if len(deaf) == 2 && a.guarded(false) == b.guarded(false) {
			t.Errorf("%s: not one of the two stays out", name)
		}
		active, standby := w.roles(a, b)
		seen = w.holdersDuring(a, b, func() {
			began := time.Now()
			for _, h := range deaf {
				h.sh(vrrpDropped("-D"))
			}
			w.eventually(name+": none stays out once VRRP passes", 3*time.Second, func() bool { return a.guarded(false) && b.guarded(false) })
			t.Logf("%s: back %v after VRRP passes", name, time.Since(began).Round(time.Millisecond))
			w.eventually(name+": the one that comes back is a backup", time.Second, func() bool {
				s, _ := standby.status()
				return s.Role == "BACKUP"
			})
			time.Sleep(5 * time.Second) // later it is another conflict
		})
		t.Logf("%s no more: %+v", name, seen)
		if seen.two+seen.none > 0 || !active.active() || !a.guarded(false) || !b.guarded(false) {
			t.Errorf("%s no more: %+v", name, seen)
		}
	}

	if err := w.lab.Partition(a.Host, b.Host); err != nil {
		t.Fatal(err)
	}
	w.eventually("partition: both take it", 3*time.Second, func() bool { return a.active() && b.active() })
	seen = w.holdersDuring(a, b, func() {
		if err := w.lab.Heal(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1500 * time.Millisecond)
	})
	t.Logf("partition healed: %+v", seen)
	if seen.last > time.Second || seen.none > 0 || !a.guarded(false) || !b.guarded(false) {
		t.Errorf("partition healed: %+v", seen)
	}
	settled("partition healed")
	w.serves("cp1", "cp2", "cp3")
}
