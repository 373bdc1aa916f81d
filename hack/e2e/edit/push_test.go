package edit

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// TestPush: a spec that is pushed from a laptop is in force on both hosts or on none, whatever fails meanwhile.
func TestPush(t *testing.T) {
	w := e2e.New(t)
	hosts := w.SSHHosts(lab.Trixie, lab.Trixie)
	for _, h := range hosts {
		h.Apply(e2e.Spec(pair.Nodes))
	}
	e2e.StartDaemon(hosts...)
	active, standby := w.Roles(hosts[0], hosts[1])
	w.Serves("cp1", "cp2", "cp3")
	laptop := w.NewLaptop(hosts...)
	both := active.Addr().String() + "," + standby.Addr().String()
	edited := laptop.Write("edited.yaml", e2e.TwoServers(pair.Nodes))

	// have fails the test unless both hosts have this number of servers and no trial.
	have := func(what string, n int) {
		t.Helper()
		for _, h := range hosts {
			w.Eventually(what+": "+h.Name(), 5*time.Second, func() bool { return servers(h) == n })
			if left := h.Shell("ls /var/lib/rlb | grep trial; true"); left != "" {
				t.Errorf("%s: %s still tries: %s", what, h.Name(), left)
			}
		}
	}
	run := func(what string, code int, says string, args ...string) string {
		t.Helper()
		got, out := laptop.RunAgent(args...)
		if got != code || !strings.Contains(out, says) {
			t.Errorf("%s: exit code %d, want %d with %q:\n%s", what, got, code, says, out)
		}
		return out
	}

	run("nobody to ask", 2, "cannot ask without a terminal", "push", edited)
	run("dry run", 1, "-    server cp3", "push", "--dry-run", edited)
	have("dry run", 3)

	// a spec that one host refuses changes nothing on any host
	active.Shell("printf '#!/bin/sh\\n' >/usr/local/bin/told && chmod 755 /usr/local/bin/told")
	refused := laptop.Write("refused.yaml", e2e.TwoServers(pair.Nodes, "vrrp: {notify: {master: /usr/local/bin/told}}"))
	stop := w.Steady("refused by one host")
	before := hosts[0].Footprint() + hosts[1].Footprint()
	out := run("refused by one host", 3, "cannot push to "+standby.Name()+": it refuses", "push", "--yes", refused)
	if after := hosts[0].Footprint() + hosts[1].Footprint(); after != before {
		t.Errorf("refused by one host: the hosts changed:\n%s", e2e.Difference(before, after))
	}
	e2e.Row(t, "push: refused by one host", stop(), e2e.Brief(out), "nothing changed")

	// the laptop is closed after the standby's trial: both go back, and meanwhile no other push can begin
	stop = w.Steady("laptop closed")
	laptop.Write("cut", active.Addr().String()+" rlb-agent try")
	began := time.Now()
	if code, out := laptop.RunAgent("push", "--yes", "--timeout", "15s", edited); code == 0 || servers(standby) != 2 || servers(active) != 3 {
		t.Fatalf("laptop closed: exit code %d, the standby has %d servers, the active %d\n%s", code, servers(standby), servers(active), out)
	}
	laptop.Write("cut", "")
	run("while another push is under way", 4, "is tried since", "push", "--yes", edited)
	w.Eventually("the standby goes back", time.Until(began.Add(30*time.Second)), func() bool { return servers(standby) == 3 })
	w.Eventually("its trial is over", 15*time.Second, func() bool { return standby.Succeeds("! ls /var/lib/rlb | grep trial") })
	have("laptop closed", 3)
	e2e.Row(t, "push: laptop closed", stop(), "", "went back by itself after "+time.Since(began).Round(time.Second).String())

	// ssh is killed while the active host is changed: the push itself brings both back
	stop = w.Steady("ssh killed")
	laptop.Write("broken", active.Addr().String()+" rlb-agent try --detach")
	out = run("ssh killed", 4, "what was there before is in force again on ", "push", "--yes", "--timeout", "30s", edited)
	laptop.Write("broken", "")
	have("ssh killed", 3)
	e2e.Row(t, "push: ssh killed", stop(), e2e.Brief(out), "went back")

	// a valid one
	stop = w.Steady("good")
	out = run("good", 0, active.Name()+": serves with it, and clients reach "+pair.Service, "push", "--yes", edited)
	if !strings.Contains(out, "done: ") {
		t.Errorf("the push does not say that it is in force:\n%s", out)
	}
	have("good", 2)
	for _, h := range hosts {
		if got := h.Shell("cat " + pair.SpecFile); got != e2e.TwoServers(pair.Nodes) {
			t.Errorf("%s: the spec file:\n%s", h.Name(), got)
		}
		if history := h.Must(pair.Agent, "history"); !strings.Contains(history, "alice@") {
			t.Errorf("%s: the history does not say who pushed:\n%s", h.Name(), history)
		}
	}
	if first := strings.Index(out, standby.Name()+": trying"); first < 0 || first > strings.Index(out, active.Name()+": trying") {
		t.Errorf("the standby is not the first:\n%s", out)
	}
	e2e.Row(t, "push: good", stop(), e2e.Brief(out), "in force on both")
	run("again", 0, "nothing to do", "push", "--yes", edited)

	// the hosts report success, but the laptop does not reach the virtual IP any more once the standby tries the spec
	three := laptop.Write("three.yaml", e2e.Spec(pair.Nodes))
	drop := func(do string) {
		t.Helper()
		if out, err := laptop.Command(w.Context(), "iptables", do, "OUTPUT", "-d", pair.VIP, "-j", "DROP").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	stop = w.Steady("cut from the virtual IP")
	laptop.Record(e2e.Call{Host: standby.Addr().String(), Command: "try", N: 1}, "wait")
	ended := make(chan string, 1)
	go func() {
		code, out := laptop.RunAgent("push", "--yes", "--timeout", "15s", three)
		ended <- fmt.Sprintf("exit code %d\n%s", code, out)
	}()
	w.Eventually("the push tries the standby", 20*time.Second, laptop.Reached)
	drop("-A")
	laptop.Proceed()
	out = <-ended
	for _, words := range []string{"exit code 4\n", "cannot verify " + standby.Name() + ": clients do not reach " + pair.Service + " any more", "in force again on " + standby.Name()} {
		if !strings.Contains(out, words) {
			t.Errorf("cut from the virtual IP: does not say %q:\n%s", words, out)
		}
	}
	if strings.Contains(out, active.Name()+": trying") {
		t.Errorf("cut from the virtual IP: the active host is changed:\n%s", out)
	}
	have("cut from the virtual IP", 2)
	e2e.Row(t, "push: cut from the virtual IP", stop(), e2e.Brief(out), "went back")

	// a laptop that never reached the virtual IP relies on the hosts' reports, and says so
	stop = w.Steady("without nodes")
	bare := laptop.Write("bare.yaml", e2e.Spec())
	run("without nodes", 2, "has no nodes; name them with --on", "push", "--yes", bare)
	out = run("without nodes, with --on", 0, "done: ", "push", "--yes", "--on", both, bare)
	if !strings.Contains(out, "not checked from here, since this machine does not reach it: "+pair.Service) || strings.Contains(out, "clients reach") {
		t.Errorf("the push says that it checked what it does not reach:\n%s", out)
	}
	drop("-D")
	have("without nodes", 3)
	e2e.Row(t, "push: without nodes, by a laptop that does not reach the virtual IP", stop(), e2e.Brief(out), "in force on both")

	// a load balancer does not test the virtual IP itself
	laptop.LogsInFrom(active)
	active.Shell("cat >/root/edited.yaml <<'END'\n" + e2e.TwoServers(pair.Nodes) + "END")
	if out, code := active.Exit(pair.Agent + " push --yes /root/edited.yaml"); code != 0 || !strings.Contains(out, "since this machine is a load balancer itself") || strings.Contains(out, "clients reach") {
		t.Errorf("pushed from a load balancer: exit code %d\n%s", code, out)
	}
	have("pushed from a load balancer", 2)

	// the status of both, and a drain of one
	w.Eventually("both are ready", 10*time.Second, func() bool { code, _ := laptop.RunAgent("status", "--on", both); return code == 0 })
	run("status", 0, "these hosts have the same spec", "status", "--on", both)
	run("diff", 0, "==> "+standby.Addr().String()+" <==", "diff", "--on", both)
	run("drain", 0, "drained: ", "drain", "--on", active.Addr().String())
	w.Eventually("the standby takes over", 5*time.Second, func() bool { return standby.Active() && !active.Active() })
	run("status of a drained host", 0, "yes, drained", "status", "--on", both)
	run("undrain", 0, "undrained: ", "undrain", "--on", active.Addr().String())
	if err := standby.CutLink(); err != nil {
		t.Fatal(err)
	}
	run("unreachable", 2, "nothing was changed", "push", "--yes", edited)
}
