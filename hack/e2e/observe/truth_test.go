package observe

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// Addresses of a machine on the network that is not a load balancer.
const (
	strangerVIP  = "198.51.100.77"
	strangerVIP6 = "2001:db8::77"
)

// inClient runs ip in the client's namespace.
func inClient(w *e2e.World, args ...string) string {
	w.Helper()
	out, err := exec.Command("ip", append([]string{"-n", lab.Namespace("client")}, args...)...).CombinedOutput()
	if err != nil {
		w.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// clientLink returns the name of the client's interface, and its MAC.
func clientLink(w *e2e.World) (name, mac string) {
	w.Helper()
	fields := strings.Fields(inClient(w, "-o", "-4", "addr", "show", "scope", "global"))
	name = strings.Split(fields[1], "@")[0]
	for line := range strings.Lines(inClient(w, "link", "show", name)) {
		if words := strings.Fields(line); words[0] == "link/ether" {
			mac = words[1]
		}
	}
	return name, mac
}

// TestLiveMachine: an address of a running machine is not taken, neither in a first run nor by an edit, unless
// --take-over is given. Until the machine gives up the address, the status shows the spec in force and the refused
// one.
func TestLiveMachine(t *testing.T) {
	w := e2e.New(t)
	hosts := w.Hosts(true, lab.Trixie, lab.Bookworm)
	h, second := hosts[0], hosts[1]
	link, mac := clientLink(w)
	inClient(w, "addr", "add", strangerVIP+"/24", "dev", link)
	inClient(w, "addr", "add", strangerVIP6+"/64", "dev", link, "nodad")
	h.Shell("ip addr add 2001:db8::11/64 dev eth0 nodad")
	two := strings.Replace(e2e.Spec(pair.Nodes), "["+pair.VIP+"]", "["+pair.VIP+", "+strangerVIP+"]", 1)

	before := h.Footprint()
	for _, vip := range []string{strangerVIP, strangerVIP6} {
		h.WriteSpec(strings.Replace(e2e.Spec(), pair.VIP, `"`+vip+`"`, 1))
		for _, command := range []string{" --once", " --once --dry-run", " --once --take-over 02:00:00:00:00:99"} {
			if out, code := h.Exit(pair.Agent + command); code != 3 || !strings.Contains(out, "another machine has "+vip+": MAC "+mac) || !strings.Contains(out, "--take-over "+mac) {
				t.Errorf("%s: exit code %d\n%s", command, code, out)
			}
		}
	}
	if after := h.Footprint(); after != before {
		t.Errorf("the refused run changed the host:\n%s", e2e.Difference(before, after))
	}

	h.Shell("ip addr del 2001:db8::11/64 dev eth0")

	// a pair with daemons; the standby's first run finds the active host, which may have the address
	began := time.Now()
	h.Apply(e2e.Spec(pair.Nodes))
	t.Logf("first run in %v", time.Since(began).Round(time.Millisecond))
	w.Eventually("the first host is active", 15*time.Second, h.Active)
	second.Apply(e2e.Spec(pair.Nodes))
	e2e.StartDaemon(h, second)

	for _, one := range []*e2e.Host{h, second} {
		one.WriteSpec(two)
	}
	for _, one := range []*e2e.Host{h, second} {
		w.Eventually("the edit is refused on "+one.Name(), 10*time.Second, func() bool {
			return one.Succeeds("journalctl -b -u rlb-agent | grep 'spec refused: .*virtualIPs.1.: another machine has " + strangerVIP + ".*; generation 1 stays in force'")
		})
		if n := strings.TrimSpace(one.Shell("journalctl -b -u rlb-agent | grep -c 'spec refused: .*another machine has'")); n != "1" {
			t.Errorf("%s: logged %s times", one.Name(), n)
		}
	}
	code, out := h.RunAgent("status")
	first, _, _ := strings.Cut(out, "\n")
	if code != 1 || first != "lb1 is MASTER and serves, but generation 2 of the spec is REFUSED" || !strings.Contains(out, "generation 2 REFUSED: ") ||
		!strings.Contains(out, mac) || !strings.Contains(out, "; still serving generation 1; retry: systemctl reload rlb-agent") {
		t.Errorf("status: exit code %d\n%s", code, out)
	}
	t.Log("\n" + out)
	s, _ := h.Status()
	if !s.Is("Serving") || !s.Is("InSync") || len(s.VirtualIPs) != 1 || s.PendingSpec == nil || !s.PendingSpec.Refused {
		t.Errorf("%+v", s)
	}
	if out, code := h.Exit("setpriv --reuid 1000 --regid 1000 --clear-groups " + pair.Agent + " status"); code != 1 || !strings.Contains(out, "run as root") ||
		strings.Contains(out, "not listening") || strings.Contains(out, "0 of 3") {
		t.Errorf("as an ordinary user: exit code %d\n%s", code, out)
	} else {
		t.Log("\n" + out)
	}

	// with --take-over the address is taken
	out, code = second.Exit(pair.Agent + " --once --dry-run --take-over " + mac)
	if code != 1 || strings.Contains(out, "another machine") {
		t.Errorf("dry run with --take-over: exit code %d\n%s", code, out)
	}
	// without the machine the edit takes effect by itself
	inClient(w, "addr", "del", strangerVIP+"/24", "dev", link)
	gone := time.Now()
	w.Eventually("the edit is in force", 40*time.Second, func() bool {
		a, _ := h.Status()
		b, _ := second.Status()
		return a.Is("Ready") && b.Is("Ready") && a.ObservedGeneration == 2 && b.ObservedGeneration == 2
	})
	t.Logf("in force %v after the machine was gone", time.Since(gone).Round(100*time.Millisecond))

	// others may write the spec; the agent is enabled and stopped
	h.Shell("chmod o+w " + pair.SpecFile)
	if s, code := h.Status(); code != 1 || s.Condition("SpecValid").Status != "False" || !strings.Contains(s.Condition("SpecValid").Message, "others than root may write") {
		t.Errorf("writable: exit code %d, %+v", code, s.Conditions)
	}
	h.Shell("chmod o-w " + pair.SpecFile + "; systemctl stop rlb-agent")
	if code, out := h.RunAgent("status"); code != 1 || !strings.Contains(out, "but rlb-agent does not run") || !strings.Contains(out, "systemctl start rlb-agent") {
		t.Errorf("stopped: exit code %d\n%s", code, out)
	}
	h.Shell("systemctl disable rlb-agent")
	if code, out := h.RunAgent("status"); code != 0 || !strings.Contains(out, ": all is well\n") {
		t.Errorf("disabled: exit code %d\n%s", code, out)
	}

	// a migration: the address is taken from a machine, which then gives it up
	inClient(w, "addr", "add", "198.51.100.78/24", "dev", link)
	h.WriteSpec(strings.Replace(two, strangerVIP, "198.51.100.78", 1))
	if code, out := h.RunAgent("--once", "--take-over", strings.ToUpper(mac)); code != 0 {
		t.Errorf("--take-over: exit code %d\n%s", code, out)
	}
	if !h.Succeeds("journalctl -b | grep -- '--once --take-over " + mac + "'") {
		t.Error("the journal does not tell of it")
	}
}
