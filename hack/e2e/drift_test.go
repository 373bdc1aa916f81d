package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// agentLog is what the daemon has said since the given moment of the host's clock (date +%s.%N).
func (h *host) agentLog(since string) string {
	h.w.Helper()
	return strings.TrimSpace(h.sh("journalctl --sync; journalctl -q -u rlb-agent --no-pager -o cat --since=@" + since))
}

func (h *host) now() string { h.w.Helper(); return strings.TrimSpace(h.must("date", "+%s.%N")) }

// found is what the daemon has counted of drift.
func (h *host) found() string {
	out, _ := h.Sh(h.w.Context(), "grep -s found /run/rlb/drift.json")
	return out
}

// true says whether a script ends well.
func (h *host) true(script string) bool {
	_, err := h.Run(h.w.Context(), "sh", "-c", script)
	return err == nil
}

// Whatever is changed on a host by others is set right by the daemon: at once where the change can be seen, else at the
// next regular look; and an agent that has nothing to do says nothing.
func TestDrift(t *testing.T) {
	w := newWorld(t)
	h := w.hosts(true, lab.Trixie)[0]
	const secret = "s3cr3t-of-the-stats-page"
	text := specOf("reconcile: {interval: 5s}", "proxy:", "  extraGlobal: ['# "+secret+"']")
	h.apply(text)
	withDaemon(h)
	w.serves("cp1", "cp2", "cp3")

	const (
		atOnce   = time.Second
		looking  = 5500*time.Millisecond + 500*time.Millisecond // a period with its jitter, and the repair
		package_ = looking + 20*time.Second                     // apt works meanwhile
	)
	haproxy, keepalived := "/etc/haproxy/haproxy.cfg", "/etc/keepalived/keepalived.conf"
	rules := "iptables -S INPUT | grep -q RLB-INPUT && iptables -S RLB-INPUT | grep -q 9000 && ip6tables -S INPUT | grep -q RLB-INPUT"
	var table strings.Builder
	for _, kind := range []struct {
		name, change, right string
		within              time.Duration
	}{
		{"haproxy.cfg edited", "echo '# by hand' >> " + haproxy, "! grep -q 'by hand' " + haproxy, atOnce},
		{"keepalived.conf edited", "sed -i s/HA-CLUSTER/MINE/ " + keepalived, "grep -q HA-CLUSTER " + keepalived, atOnce},
		{"haproxy.cfg removed", "rm " + haproxy, "test -s " + haproxy, atOnce},
		{"mode of keepalived.conf", "chmod 666 " + keepalived, "test $(stat -c %a " + keepalived + ") != 666", atOnce},
		{"drop-in deleted", "rm /etc/systemd/system/keepalived.service.d/rlb.conf", "test -s /etc/systemd/system/keepalived.service.d/rlb.conf", atOnce},
		{"haproxy stopped", "systemctl stop haproxy", "systemctl is-active -q haproxy", atOnce},
		{"keepalived stopped", "systemctl stop keepalived", "systemctl is-active -q keepalived", atOnce},
		{"keepalived disabled", "systemctl disable keepalived", "systemctl is-enabled -q keepalived", atOnce},
		{"keepalived masked", "systemctl mask keepalived", "! systemctl is-enabled keepalived | grep -q masked", atOnce},
		{"haproxy failed", "mkdir -p /run/systemd/system/haproxy.service.d; printf '[Service]\nRestart=no\n' > /run/systemd/system/haproxy.service.d/no.conf; systemctl daemon-reload; systemctl kill -s KILL haproxy; sleep 0.1", "systemctl is-active -q haproxy", atOnce},
		{"iptables -F INPUT", "iptables -F INPUT", rules, atOnce},
		{"rule deleted", "iptables -D RLB-INPUT 1", "iptables -S RLB-INPUT | grep -q 9000 && test $(iptables -S RLB-INPUT | wc -l) = " + strings.TrimSpace(h.sh("iptables -S RLB-INPUT | wc -l")), atOnce},
		{"nft flush ruleset", "iptables -F; iptables -X; ip6tables -F; ip6tables -X", rules, atOnce},
		{"hold taken away", "apt-mark unhold haproxy", "apt-mark showhold | grep -q haproxy", atOnce},
		{"package removed", "apt-get -qy --allow-change-held-packages remove keepalived", "systemctl is-active -q keepalived", package_},
	} {
		if kind.name == "nft flush ruleset" && h.true("command -v nft") {
			kind.change = "nft flush ruleset"
		}
		if out := h.sh(kind.right + " && echo right; true"); !strings.Contains(out, "right") {
			t.Fatalf("before %s it is not right already", kind.name)
		}
		since, found := h.now(), h.found()
		h.sh(kind.change)
		start := time.Now()
		w.eventually(kind.name+" is set right", kind.within+5*time.Second, func() bool { return h.true(kind.right) })
		took := time.Since(start)
		if took > kind.within {
			t.Errorf("%s: set right after %v, want %v", kind.name, took, kind.within)
		}
		w.eventually("the run has ended", 10*time.Second, func() bool { return h.found() != found })
		log := h.agentLog(since)
		if !strings.Contains(log, ": drift, ") {
			t.Errorf("%s: the repair is not told: %s", kind.name, log)
		}
		fmt.Fprintf(&table, "%-24s %6v  %s\n", kind.name, took.Round(10*time.Millisecond), strings.ReplaceAll(log, "\n", " | "))
	}
	t.Logf("from the change to its repair:\n%s", &table)
	w.serves("cp1", "cp2", "cp3")
	if out := h.must("cat", "/run/rlb/drift.json"); !strings.Contains(out, `"repaired": true`) {
		t.Errorf("the record of drift: %s", out)
	}

	// somebody who changes the same thing all the time is not fought every second
	since := h.now()
	h.sh("(for i in $(seq 70); do echo '# by hand' >> " + haproxy + "; sleep 0.1; done) >/dev/null 2>&1 &")
	time.Sleep(7500 * time.Millisecond)
	log := h.agentLog(since)
	if n := strings.Count(log, "write "+haproxy); n < 2 || n > 5 || !strings.Contains(log, "somebody else keeps changing") {
		t.Errorf("in a fight of 7 s: %d repairs:\n%s", n, log)
	}
	t.Logf("in a fight of 7 s: %d repairs", strings.Count(log, "write "+haproxy))
	w.eventually("the last word is the spec's", 20*time.Second, func() bool { return !h.true("grep -q 'by hand' " + haproxy) })

	// idle over three regular looks
	h.writeSpec(strings.Replace(text, "interval: 5s", "interval: 1s", 1))
	w.eventually("the new interval is in force", 10*time.Second, func() bool {
		out, _ := h.Run(t.Context(), agent, "history")
		return strings.Count(out, "the daemon") > 0
	})
	time.Sleep(1500 * time.Millisecond)
	since = h.now()
	before := h.sh("stat -c %Y.%y /run/rlb/status.json")
	time.Sleep(4 * time.Second)
	if log := h.agentLog(since); log != "" {
		t.Errorf("an idle agent says:\n%s", log)
	}
	if h.sh("stat -c %Y.%y /run/rlb/status.json") == before {
		t.Error("there was no regular look meanwhile")
	}
	if out := h.sh("journalctl -q -u rlb-agent --no-pager -o json | grep -c RLB_REASON; journalctl -q --no-pager -o json | grep -c " + secret + " || true"); !strings.HasSuffix(out, "\n0\n") || strings.HasPrefix(out, "0\n") {
		t.Errorf("lines with a reason, and with a secret: %s", out)
	}

	// report: nothing is set right, and it is said once; the original's verification works with the daemon running
	since = h.now()
	h.writeSpec(strings.Replace(text, "interval: 5s", "interval: 1s, drift: report", 1))
	w.eventually("report is in force", 10*time.Second, func() bool { return h.true("grep -q report /var/lib/rlb/generations/*/spec.yaml") })
	h.sh("systemctl stop haproxy")
	w.eventually("the drift is told", 5*time.Second, func() bool { return strings.Contains(h.agentLog(since), "Repair would: start haproxy.service") })
	w.never("it is repaired", 2500*time.Millisecond, func() bool { return h.is("active", "haproxy", "active") })
	if log := h.agentLog(since); strings.Count(log, "has drifted") != 1 {
		t.Errorf("told more than once:\n%s", log)
	}
}

// A killed keepalived comes back, but not before its peer has had the time to take over: with standard by systemd, with
// classic, whose unit is the package's alone, by the agent.
func TestKilledKeepalived(t *testing.T) {
	w := newWorld(t)
	h := w.hosts(true, lab.Trixie)[0]
	for i, profile := range []struct {
		more        string
		first, last time.Duration
	}{{"", 300 * time.Millisecond, 900 * time.Millisecond}, {classic, 3600 * time.Millisecond, 5 * time.Second}} {
		h.apply(specOf(profile.more))
		if i == 0 {
			withDaemon(h)
		}
		w.eventually("it holds the virtual IP", 10*time.Second, h.active)
		last := h.sh("systemctl show --value -p InvocationID keepalived")
		start := time.Now()
		h.sh("systemctl kill -s KILL keepalived")
		w.eventually("keepalived runs again", 10*time.Second, func() bool {
			return h.is("active", "keepalived", "active") && h.sh("systemctl show --value -p InvocationID keepalived") != last
		})
		took := time.Since(start)
		t.Logf("%q: keepalived runs again after %v", profile.more, took.Round(time.Millisecond))
		if took < profile.first || took > profile.last {
			t.Errorf("%q: keepalived runs again after %v, want %v to %v", profile.more, took, profile.first, profile.last)
		}
	}
}
