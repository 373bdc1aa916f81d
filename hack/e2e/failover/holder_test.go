package failover

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// vrrpDropped returns the command that adds (-I) or deletes (-D) a rule after the packet sockets and before keepalived,
// in a table that the agent does not check.
func vrrpDropped(do string) string { return "iptables -t mangle " + do + " INPUT -p 112 -j DROP" }

// killKeepalived stops the processes before it kills them. Otherwise one may notice the end of another and advertise
// priority 0.
const killKeepalived = "systemctl kill -s STOP keepalived; systemctl kill -s KILL keepalived"

// holds fails the test if two hosts held the virtual IP for longer than two, or none for longer than none.
func holds(w *e2e.World, what string, seen pair.Holding, two, none time.Duration) {
	w.Helper()
	w.Logf("%s: %s", what, seen)
	if seen.Longest(2) > two || seen.Longest(0) > none {
		w.Errorf("%s: two holders for %v, at most %v; none for %v, at most %v: %s", what, seen.Longest(2), two, seen.Longest(0), none, seen)
	}
}

// killed kills keepalived, or a part of it, on the active host: this host holds the virtual IP until the standby does.
func killed(w *e2e.World, active, standby *e2e.Host, script string) {
	w.Judge("killed", func() (lab.Report, error) {
		active, standby = w.Roles(active, standby)
		var seen pair.Holding
		report := w.Probe(0, func() {
			seen = w.HoldersDuring(active, standby, func() {
				active.Shell(script)
				time.Sleep(time.Second)
			})
		})
		if !standby.Active() {
			w.Error("its peer did not take over")
		}
		w.Eventually("both are well", 5*time.Second, func() bool { return active.Is("active", "keepalived", "active") })
		steady(w, active, standby)
		w.Logf("killed on %s: %s", active.Name(), seen)
		// one connection may be open at the moment of the takeover
		if seen.Last(2) > 500*time.Millisecond || seen.Longest(0) > 0 || report.Failed > 1 {
			w.Logf("%s", active.Shell("journalctl -u keepalived -u rlb-agent -o short-precise --no-pager | grep -v 'Printing VRRP' | tail -40"))
			return report, fmt.Errorf("%s; %d of %d connections failed: %v", seen, report.Failed, report.Total, report.Errors)
		}
		return report, nil
	})
}

func steady(w *e2e.World, a, b *e2e.Host) {
	w.Helper()
	w.Never("flaps", time.Second, func() bool { return a.Active() == b.Active() })
}

// TestHolder: exactly one host holds the virtual IP, whatever happens to keepalived and the network, and after changes
// by hand.
func TestHolder(t *testing.T) {
	cases := e2e.NewPairCases(t, e2e.Spec(pair.Nodes), lab.Trixie, lab.Bookworm)
	for _, host := range []string{"one", "the other"} {
		cases.Run("keepalived killed on "+host, func(w *e2e.World, active, standby *e2e.Host) {
			killed(w, active, standby, killKeepalived)
		})
		// keepalived would restart it at once, and the new one would remove the addresses before the peer has them
		cases.Run("keepalived's VRRP process killed on "+host, func(w *e2e.World, active, standby *e2e.Host) {
			killed(w, active, standby, "pkill -KILL -P $(systemctl show --value -p MainPID keepalived)")
		})
	}

	// it sends no advertisements, and keeps its addresses
	cases.Run("keepalived hangs", func(w *e2e.World, active, standby *e2e.Host) {
		w.Judge("keepalived hangs", func() (lab.Report, error) {
			active, standby = w.Roles(active, standby)
			var seen pair.Holding
			report := w.Probe(0, func() {
				seen = w.HoldersDuring(active, standby, func() {
					active.Shell("systemctl kill -s STOP keepalived")
					time.Sleep(2 * time.Second)
				})
			})
			if !standby.Active() || active.Active() {
				w.Error("its peer is not the only holder")
			}
			w.Eventually("it is a standby again", 5*time.Second, func() bool { return active.Is("active", "keepalived", "active") })
			steady(w, active, standby)
			w.Logf("keepalived hangs: %s", seen)
			if seen.Longest(2) > time.Second || seen.Longest(0) > 0 {
				return report, fmt.Errorf("%s", seen)
			}
			return report, nil
		})
	})

	cases.Run("keepalived killed for good", func(w *e2e.World, active, standby *e2e.Host) {
		const dropIn = "/run/systemd/system/keepalived.service.d/broken.conf"
		active.Shell("mkdir -p /run/systemd/system/keepalived.service.d")
		seen := w.HoldersDuring(active, standby, func() {
			active.Shell("printf '[Service]\\nExecStartPre=/bin/false\\n' > " + dropIn + "; systemctl daemon-reload; " + killKeepalived)
			time.Sleep(1500 * time.Millisecond)
		})
		holds(w, "killed for good", seen, time.Second, 0)
		if seen.Last(2) > time.Second || active.Active() {
			w.Errorf("it still held the virtual IP after %v", seen.Last(2))
		}
		if out := active.Shell("journalctl -u rlb-agent --no-pager -o cat"); !strings.Contains(out, "removed "+pair.VIP+" from eth0") {
			w.Error("the agent's log says nothing of it")
		}
		active.Shell("rm " + dropIn + "; systemctl daemon-reload; systemctl start keepalived")
		steady(w, active, standby)
	})

	cases.Run("the fault flag changed by hand", func(w *e2e.World, active, standby *e2e.Host) {
		for _, change := range []string{"echo 1 > $flag", "rm $flag", "rm -r /run/rlb", "echo off > $flag; chmod 600 $flag"} {
			w.Eventually("the daemon is at rest", 5*time.Second, standby.Well)
			w.Judge(change, func() (lab.Report, error) {
				var took time.Duration
				report := w.Probe(0, func() { took = repaired(standby, change) })
				w.Logf("%s: it says 0 again after %v", change, took)
				if took > 100*time.Millisecond {
					return report, fmt.Errorf("it says 0 again after %v", took)
				}
				return report, nil
			})
		}
		if !active.Active() || standby.Active() {
			w.Error("the virtual IP moved")
		}
		w.Eventually("it is a standby again", 5*time.Second, func() bool { return backup(standby) })
		inFault := func() bool { s, _ := standby.Status(); return s.Role == "FAULT" }
		standby.Shell("systemctl kill -s STOP haproxy")
		w.Eventually("keepalived sees the flag of the directory that was made anew", 5*time.Second, inFault)
		standby.Shell("systemctl kill -s CONT haproxy")
		w.Eventually("it is a standby after that", 5*time.Second, func() bool { return backup(standby) })
		standby.Shell("rm -r /var/lib/rlb; systemctl reload rlb-agent")
		w.Eventually("the state is made anew", 20*time.Second, func() bool {
			return standby.Succeeds("test -e /var/lib/rlb/memory.json && rlb-agent diff") && backup(standby)
		})
		standby.Shell(pair.Agent + " drain")
		w.Eventually("keepalived sees the drain in the directory that was made anew", 5*time.Second, inFault)
		standby.Shell(pair.Agent + " undrain")
		w.Eventually("it is a standby after that too", 5*time.Second, func() bool { return backup(standby) })
		if out := standby.Shell("journalctl -u rlb-agent --no-pager -o cat"); !strings.Contains(out, "restored the fault flag") {
			w.Error("the agent's log says nothing of it")
		}
	})

	cases.Run("added by hand on the standby", func(w *e2e.World, active, standby *e2e.Host) {
		seen := w.HoldersDuring(active, standby, func() {
			standby.Shell("ip address add " + pair.VIP + "/32 dev eth0")
			time.Sleep(1500 * time.Millisecond)
		})
		holds(w, "added by hand", seen, time.Second, 0)
		if !active.Active() {
			w.Error("the virtual IP moved")
		}
	})

	cases.Run("the standby hears no VRRP", func(w *e2e.World, active, standby *e2e.Host) {
		hearsNothing(w, active, standby, standby)
	})
	cases.Run("neither hears VRRP", func(w *e2e.World, active, standby *e2e.Host) {
		hearsNothing(w, active, standby, active, standby)
	})

	cases.Run("partition healed", func(w *e2e.World, active, standby *e2e.Host) {
		if err := w.Lab.Partition(active.Host, standby.Host); err != nil {
			w.Fatal(err)
		}
		w.Eventually("both hold it", 3*time.Second, func() bool { return active.Active() && standby.Active() })
		seen := w.HoldersDuring(active, standby, func() {
			if err := w.Lab.Heal(); err != nil {
				w.Fatal(err)
			}
			time.Sleep(1500 * time.Millisecond)
		})
		holds(w, "healed", seen, time.Second, 0)
		if seen.Last(2) > time.Second || !active.FaultFlag(false) || !standby.FaultFlag(false) {
			w.Errorf("two holders until %v, or one of them in FAULT", seen.Last(2))
		}
		steady(w, active, standby)
		w.Serves("cp1", "cp2", "cp3")
	})
}

// repaired changes the fault flag, and returns how long it took until the flag was 0 again; at most 5 s.
func repaired(h *e2e.Host, change string) time.Duration {
	h.World.Helper()
	out := h.Shell("flag=/run/rlb/fault; " + change + `; began=$(date +%s%N); took=0
		while [ $took -lt 5000000000 ]; do
			read -r says 2>/dev/null < $flag && [ "$says" = 0 ] && break
			took=$(($(date +%s%N) - began))
		done; echo $took`)
	took, err := time.ParseDuration(strings.TrimSpace(out) + "ns")
	if err != nil {
		h.World.Fatal(err)
	}
	return took
}

// hearsNothing drops the advertisements to keepalived on the deaf hosts for a while.
func hearsNothing(w *e2e.World, a, b *e2e.Host, deaf ...*e2e.Host) {
	for _, h := range deaf {
		h.Shell(vrrpDropped("-I"))
	}
	seen := w.HoldersDuring(a, b, func() { time.Sleep(15 * time.Second) })
	holds(w, "VRRP is dropped", seen, time.Second, time.Second)
	if seen.Last(2) > 2*time.Second {
		w.Errorf("two holders still after %v", seen.Last(2))
	}
	if len(deaf) == 2 && a.FaultFlag(false) == b.FaultFlag(false) {
		w.Error("not exactly one of the two is in FAULT")
	}
	active, standby := w.Roles(a, b)
	seen = w.HoldersDuring(a, b, func() {
		began := time.Now()
		for _, h := range deaf {
			h.Shell(vrrpDropped("-D"))
		}
		w.Eventually("none is in FAULT once VRRP passes", 3*time.Second, func() bool { return a.FaultFlag(false) && b.FaultFlag(false) })
		w.Logf("none is in FAULT %v after VRRP passes", time.Since(began).Round(time.Millisecond))
		w.Eventually("the one that comes back is a backup", time.Second, func() bool {
			s, _ := standby.Status()
			return s.Role == "BACKUP"
		})
		time.Sleep(5 * time.Second) // later it is another conflict
	})
	holds(w, "VRRP passes", seen, 0, 0)
	if !active.Active() || !a.FaultFlag(false) || !b.FaultFlag(false) {
		w.Error("the virtual IP moved, or a host is in FAULT")
	}
}
