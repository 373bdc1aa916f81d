package failover

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
	"rlb.dev/rlb-agent/reconcile/state"
)

const (
	waitedVIP6 = "2001:db8::100"
	service6   = "[" + waitedVIP6 + "]:9000"
)

// detached starts a drain and leaves the wait to the daemon, like an administrator who presses Ctrl-C.
func detached(h *e2e.Host, wait string) {
	h.World.Helper()
	if out, code := h.Exit("timeout --foreground --preserve-status -s INT 2.5 " + pair.Agent + " drain --wait " + wait); code != 0 || !strings.Contains(out, "goes on in the background") {
		h.World.Fatalf("exit code %d: %s", code, out)
	}
}

// sessionsLeft counts a host's connections to the virtual IPs.
func sessionsLeft(h *e2e.Host) int {
	h.World.Helper()
	return strings.Count(h.Shell("ss -Htn state connected exclude time-wait '( sport = :9000 )'"), "\n")
}

// waitEnds waits until a host serves no connections from before a drain any more, and returns how the wait ended.
// Within 5 s after that the host has no session of them.
func waitEnds(w *e2e.World, h *e2e.Host) string {
	w.Helper()
	w.Eventually("the wait ends", 10*time.Second, func() bool { return !h.Succeeds("test -e " + state.WaitFile) })
	w.Eventually("no session is left on the old host", 5*time.Second, func() bool { return sessionsLeft(h) == 0 })
	return h.Shell("cat " + state.WaitingFile)
}

// TestWaitedDrain: established connections survive a drain with --wait. If the former holder fails meanwhile, its
// clients are notified.
func TestWaitedDrain(t *testing.T) {
	w := e2e.New(t)
	all := w.Hosts(true, lab.Trixie, lab.Bookworm)
	for i, h := range all {
		h.Shell(fmt.Sprintf("ip address add 2001:db8::1%d/64 dev eth0 nodad", i+1))
	}
	if out, err := w.Client.Command(t.Context(), "ip", "address", "add", "2001:db8::50/64", "dev", "eth0", "nodad").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := w.Client.HoldACKs(t.Context()); err != nil {
		t.Fatal(err)
	}
	spec := strings.Replace(e2e.Spec(pair.Nodes), "["+pair.VIP+"]", "["+pair.VIP+`, "`+waitedVIP6+`"]`, 1)
	for _, h := range all {
		h.Apply(spec)
	}
	e2e.StartDaemon(all...)
	cases := w.NewCases(func(w *e2e.World) {
		for _, h := range all {
			h.In(w.T).Shell(pair.Agent + " undrain; systemctl start rlb-agent")
		}
	})
	run := func(name string, do func(w *e2e.World, active, standby *e2e.Host)) {
		cases.Run(name, func(w *e2e.World) {
			active, standby := w.Roles(all[0].In(w.T), all[1].In(w.T))
			w.Eventually("the standby is ready", 10*time.Second, func() bool { return standby.FaultFlag(false) && standby.Succeeds(pair.Agent+" undrain") })
			do(w, active, standby)
			active.Shell(pair.Agent + " undrain")
		})
	}
	run("back and forth", func(w *e2e.World, active, standby *e2e.Host) {
		talkers := append(talk(w, pair.Service, 25), talk(w, service6, 25)...)
		quiet, err := w.Client.LongConn(w.Context(), pair.Service)
		if err != nil {
			w.Fatal(err)
		}
		defer quiet.Close()
		for move := range 4 {
			name := fmt.Sprintf("move %d", move)
			report, half := handedOver(w, pair.Service, func() {
				detached(active, "1m")
				time.Sleep(time.Second) // in total longer than a move forwards connections by itself
			})
			w.Logf("%s: new: %d, %d failed: %v; half-open: %d, %d failed: %v", name, report.Total, report.Failed, report.Errors, half.Total, half.Failed, half.Errors)
			for _, r := range []lab.Report{report, half} {
				if err := e2e.Lossless(r); err != nil {
					w.Errorf("%s: %v", name, err)
				}
			}
			allAlive(w, name, talkers)
			if active.Active() || !standby.Active() {
				w.Fatalf("%s: the virtual IP did not move", name)
			}
			active.Shell(pair.Agent + " undrain")
			talkers = append(talkers, talk(w, pair.Service, 10)...)
			time.Sleep(time.Second) // until it is a standby again
			allAlive(w, name+", undrained", talkers)
			active, standby = standby, active
		}
		if _, cut, err := quiet.Cut(); cut {
			w.Errorf("a quiet connection is lost: %v", err)
		}
		for _, t := range talkers {
			_ = t.conn.NetConn().Close()
		}
		quiet.Close()
		began := time.Now()
		w.Log(waitEnds(w, standby))
		w.Logf("the wait ended %v after the last connection", time.Since(began))
	})
	run("deadline", func(w *e2e.World, active, standby *e2e.Host) {
		talkers, quiet := talk(w, pair.Service, 10), quietOnes(w, 3)
		began := time.Now()
		out, code := active.Exit(pair.Agent + " drain --wait 5s")
		w.Logf("after %v: %s", time.Since(began), out)
		first, last := told(w, "deadline", began.Add(5*time.Second), quiet, talkers)
		w.Logf("closed from %v to %v after the deadline", first, last)
		if code != 0 || !strings.Contains(out, "13 closed") || first < -500*time.Millisecond || last > 500*time.Millisecond {
			w.Errorf("exit code %d, closed from %v to %v after the deadline: %s", code, first, last, out)
		}
		waitEnds(w, active)
	})
	run("count 0", func(w *e2e.World, active, standby *e2e.Host) {
		talkers := talk(w, service6, 5)
		time.AfterFunc(4*time.Second, func() {
			for _, t := range talkers {
				_ = t.conn.NetConn().Close()
			}
		})
		began := time.Now()
		out, code := active.Exit(pair.Agent + " drain --wait 1m")
		if took := time.Since(began); code != 0 || !strings.Contains(out, "all 5 connections have ended") || took > 8*time.Second || took < 3*time.Second {
			w.Errorf("exit code %d after %v: %s", code, took, out)
		}
		waitEnds(w, active)
		if out, code := active.Exit(pair.Agent + " drain --wait 1m"); code != 0 || !strings.Contains(out, "nothing is left to wait for") {
			w.Errorf("drained again: exit code %d: %s", code, out)
		}
	})
	run("no daemon", func(w *e2e.World, active, standby *e2e.Host) {
		talkers := talk(w, pair.Service, 5)
		active.Shell("systemctl stop rlb-agent")
		time.AfterFunc(5*time.Second, func() { allAlive(w, "the command alone", talkers) })
		out, code := active.Exit(pair.Agent + " drain --wait 7s")
		if code != 0 || !strings.Contains(out, "5 closed") {
			w.Errorf("exit code %d: %s", code, out)
		}
		waitEnds(w, active)
		active.Shell("systemctl start rlb-agent")
	})
	run("undrain, restart of the agent", func(w *e2e.World, active, standby *e2e.Host) {
		talkers := append(talk(w, pair.Service, 10), talk(w, service6, 5)...)
		detached(active, "1m")
		active.Shell(pair.Agent + " undrain")
		time.Sleep(2500 * time.Millisecond)
		allAlive(w, "undrain", talkers)
		active.Shell("systemctl restart rlb-agent")
		time.Sleep(2500 * time.Millisecond)
		w.Log(active.Shell("journalctl -u rlb-agent -o short-precise -n 20 | grep -e Stopp -e Start -e serv; cat " + state.WaitingFile))
		allAlive(w, "restart of the agent", talkers)
		if out, code := active.Exit(pair.Agent + " drain --wait 2s"); code != 0 || !strings.Contains(out, "15 closed") { // another deadline
			w.Errorf("exit code %d: %s", code, out)
		}
		waitEnds(w, active)
	})
	run("an edit of both hosts", func(w *e2e.World, active, standby *e2e.Host) {
		talkers := append(talk(w, pair.Service, 10), talk(w, service6, 10)...)
		detached(active, "1m")
		edited := strings.Replace(spec, "services:\n", "services:\n- {name: other, port: 9001, servers: [{address: 198.51.100.21, port: 6443}]}\n", 1)
		for _, text := range []string{edited, spec} {
			for _, h := range []*e2e.Host{standby, active} {
				before := h.Shell("nft list table ip rlb_handover | grep -c 9001 || true")
				h.WriteSpec(text)
				w.Eventually(h.Name()+" has the rules of the edit", 15*time.Second, func() bool {
					return h.Shell("nft list table ip rlb_handover | grep -c 9001 || true") != before
				})
				time.Sleep(2500 * time.Millisecond)
				allAlive(w, "an edit of "+h.Name(), talkers)
			}
		}
		if out, code := active.Exit(pair.Agent + " drain --wait 2s"); code != 0 || !strings.Contains(out, "20 closed") {
			w.Errorf("exit code %d: %s", code, out)
		}
		waitEnds(w, active)
	})
	fails := func(name string, fail func(active *e2e.Host) (restore func())) {
		run(name, func(w *e2e.World, active, standby *e2e.Host) {
			talkers := append(talk(w, pair.Service, 10), talk(w, service6, 10)...)
			detached(active, "1m")
			allAlive(w, name, talkers)
			restore := fail(active)
			since := time.Now()
			first, last := told(w, name, since, nil, talkers)
			w.Logf("%s: clients are told from %v to %v after", name, first, last)
			if last > 600*time.Millisecond {
				w.Errorf("%s: a client is told after %v", name, last)
			}
			if restore != nil {
				restore()
				w.Log(waitEnds(w, active))
			}
		})
	}
	fails("HAProxy hangs", func(active *e2e.Host) func() {
		active.Shell("kill -STOP $(pidof haproxy)")
		return func() { active.Shell("kill -CONT $(pidof haproxy)") }
	})
	fails("the agent is killed", func(active *e2e.Host) func() {
		active.Shell("kill -KILL $(systemctl show --value -p MainPID rlb-agent)")
		return func() {}
	})
	cases.Run("power cut", func(w *e2e.World) {
		active, _ := w.Roles(all[0].In(w.T), all[1].In(w.T))
		quiet := quietOnes(w, 3)
		talkers := append(talk(w, pair.Service, 10), talk(w, service6, 10)...)
		detached(active, "1m")
		for _, c := range quiet {
			c.Poke() // the last data of the client
		}
		allAlive(w, "before the power cut", talkers)
		if err := active.CutLink(); err != nil { // no frame leaves it any more
			w.Fatal(err)
		}
		since := time.Now()
		// no host acknowledges what a client sends, so its kernel retransmits after 200 ms and again 400 ms later; the new
		// holder's agent notifies it before that
		first, last := told(w, "power cut", since, quiet, talkers)
		w.Logf("power cut: clients are told from %v to %v after", first, last)
		if last > 600*time.Millisecond {
			w.Errorf("a client is told after %v", last)
		}
		active.Crash()
	})
}

// TestWaitedDrainOfThree: a third host takes part in a wait: whatever happens to the new holder, the connections of the
// former one survive.
func TestWaitedDrainOfThree(t *testing.T) {
	w := e2e.New(t)
	all := w.Hosts(true, lab.Trixie, lab.Bookworm, lab.Trixie)
	for _, h := range all {
		h.Apply(strings.Replace(e2e.Spec(pair.Nodes+"\n- {name: lb3, addresses: [198.51.100.13]}\nvrrp: {transport: unicast}"), "  port: 9000", "  port: 9000\n  bind: "+pair.VIP, 1))
	}
	e2e.StartDaemon(all...)
	holder := func(not ...*e2e.Host) (found *e2e.Host) {
		w.Eventually("another host holds the virtual IP", 5*time.Second, func() bool {
			found = nil
			for _, h := range all {
				if h.Up() && h.Active() && !slices.Contains(not, h) {
					found = h
				}
			}
			return found != nil
		})
		return found
	}
	first := holder()
	talkers := talk(w, pair.Service, 10)
	detached(first, "1m")
	second := holder(first)
	if out := second.Shell("rlb-agent status"); !strings.Contains(out, "it drains: 10 connections left") {
		t.Errorf("the status of the new holder says nothing of it:\n%s", out)
	}
	if s, _ := first.Status(); s.Draining == nil || s.Draining.Connections != 10 {
		t.Errorf("the status of the old holder: %+v", s.Draining)
	}
	if out, code := second.Exit(pair.Agent + " drain --wait 1m"); code != 2 || !strings.Contains(out, "is still draining") || !second.Active() {
		t.Errorf("a second wait: exit code %d: %s", code, out)
	}
	second.Shell(pair.Agent + " drain")
	third := holder(first, second)
	time.Sleep(3 * time.Second)
	allAlive(w, "a second planned move", talkers)
	second.Shell(pair.Agent + " undrain")
	time.Sleep(time.Second)
	third.Crash()
	if holder(first) != second {
		t.Error("the host that was drained first holds the virtual IP")
	}
	time.Sleep(3 * time.Second)
	allAlive(w, "a crash of the new holder", talkers)
}

// quietOnes opens n idle connections.
func quietOnes(w *e2e.World, n int) (all []*lab.LongConn) {
	w.Helper()
	for range n {
		c, err := w.Client.LongConn(w.Context(), pair.Service)
		if err != nil {
			w.Fatal(err)
		}
		w.Cleanup(func() { _ = c.Close() })
		all = append(all, c)
	}
	return all
}
