package observe

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// agentLog returns what the daemon has logged since a time of the host's clock (date +%s.%N).
func agentLog(h *e2e.Host, since string) string {
	h.World.Helper()
	return strings.TrimSpace(h.Shell("journalctl --sync; journalctl -q -u rlb-agent --no-pager -o cat --since=@" + since))
}

func now(h *e2e.Host) string { h.World.Helper(); return strings.TrimSpace(h.Must("date", "+%s.%N")) }

// found returns the daemon's count of drift.
func found(h *e2e.Host) string {
	out, _ := h.Sh(h.World.Context(), "grep -s found /run/rlb/drift.json")
	return out
}

const (
	haproxyCfg     = "/etc/haproxy/haproxy.cfg"
	keepalivedConf = "/etc/keepalived/keepalived.conf"
	driftSecret    = "s3cr3t-of-the-stats-page"
)

// told matches the beginning of the log line of a repair: what was changed.
var told = regexp.MustCompile(`(?m)^\S.*: (put back|started|enabled|unmasked|held again|installed)\b`)

// driftSpec is a spec with a secret in it, and with these lines under "reconcile".
func driftSpec(reconcile string) string {
	return e2e.Spec("reconcile: {"+reconcile+"}", "proxy:", "  extraGlobal: ['# "+driftSecret+"']")
}

// TestDrift: the daemon repairs all changes by others: at once if it is notified of them, else at the next regular
// look. An agent that has nothing to do logs nothing.
func TestDrift(t *testing.T) {
	w := e2e.New(t)
	h := w.Hosts(true, lab.Trixie)[0]
	h.Apply(driftSpec("interval: 5s"))
	e2e.StartDaemon(h)
	w.Serves("cp1", "cp2", "cp3")
	cases := w.NewCases(func(w *e2e.World) {
		h := h.In(w.T)
		h.Shell("systemctl stop rlb-agent")
		h.Apply(driftSpec("interval: 5s"))
		e2e.StartDaemon(h)
	})
	run := func(name string, do func(*e2e.World, *e2e.Host)) {
		cases.Run(name, func(w *e2e.World) { do(w, h.In(w.T)) })
	}

	const (
		atOnce = time.Second
		apt    = 6*time.Second + 20*time.Second // an interval with its jitter, and the repair by apt
		rules  = "iptables -S INPUT | grep -q RLB-INPUT && iptables -S RLB-INPUT | grep -q 9000 && ip6tables -S INPUT | grep -q RLB-INPUT"
	)
	flush := "iptables -F; iptables -X; ip6tables -F; ip6tables -X"
	if h.Succeeds("command -v nft") {
		flush = "nft flush ruleset"
	}
	for _, kind := range []struct {
		name, change, right string
		within              time.Duration
	}{
		{"haproxy.cfg edited", "echo '# by hand' >> " + haproxyCfg, "! grep -q 'by hand' " + haproxyCfg, atOnce},
		{"keepalived.conf edited", "sed -i s/HA-CLUSTER/MINE/ " + keepalivedConf, "grep -q HA-CLUSTER " + keepalivedConf, atOnce},
		{"haproxy.cfg removed", "rm " + haproxyCfg, "test -s " + haproxyCfg, atOnce},
		{"mode of keepalived.conf", "chmod 666 " + keepalivedConf, "test $(stat -c %a " + keepalivedConf + ") != 666", atOnce},
		{"drop-in deleted", "rm /etc/systemd/system/keepalived.service.d/rlb.conf", "test -s /etc/systemd/system/keepalived.service.d/rlb.conf", atOnce},
		{"haproxy stopped", "systemctl stop haproxy", "systemctl is-active -q haproxy", atOnce},
		{"keepalived stopped", "systemctl stop keepalived", "systemctl is-active -q keepalived", atOnce},
		{"keepalived disabled", "systemctl disable keepalived", "systemctl is-enabled -q keepalived", atOnce},
		{"keepalived masked", "systemctl mask keepalived", "! systemctl is-enabled keepalived | grep -q masked", atOnce},
		{"haproxy failed", "mkdir -p /run/systemd/system/haproxy.service.d; printf '[Service]\nRestart=no\n' > /run/systemd/system/haproxy.service.d/no.conf; systemctl daemon-reload; systemctl kill -s KILL haproxy; sleep 0.1", "systemctl is-active -q haproxy", atOnce},
		{"iptables -F INPUT", "iptables -F INPUT", rules, atOnce},
		{"rule deleted", "iptables -D RLB-INPUT 1", "iptables -S RLB-INPUT | grep -q 9000 && test $(iptables -S RLB-INPUT | wc -l) = " + strings.TrimSpace(h.Shell("iptables -S RLB-INPUT | wc -l")), atOnce},
		{"nft flush ruleset", flush, rules, atOnce},
		{"hold taken away", "apt-mark unhold haproxy", "apt-mark showhold | grep -q haproxy", atOnce},
		{"package removed", "apt-get -qy --allow-change-held-packages remove keepalived", "systemctl is-active -q keepalived", apt},
	} {
		run(kind.name, func(w *e2e.World, h *e2e.Host) {
			if !h.Succeeds(kind.right) {
				w.Fatal("it is not right before the change already")
			}
			since, before := now(h), found(h)
			h.Shell(kind.change)
			start := time.Now()
			w.Eventually("it is set right", kind.within+5*time.Second, func() bool { return h.Succeeds(kind.right) })
			took := time.Since(start)
			if took > kind.within {
				w.Errorf("set right after %v, want %v", took, kind.within)
			}
			w.Eventually("the run has ended", 10*time.Second, func() bool { return found(h) != before })
			log := agentLog(h, since)
			if !told.MatchString(log) {
				w.Errorf("the repair is not logged with what was changed: %s", log)
			}
			w.Logf("| %s | %v | %s |", kind.name, took.Round(10*time.Millisecond), strings.ReplaceAll(log, "\n", " | "))
		})
	}
	run("the record of drift", func(w *e2e.World, h *e2e.Host) {
		before := found(h)
		h.Shell("iptables -F INPUT")
		w.Eventually("it says that the drift was repaired", 5*time.Second, func() bool {
			return found(h) != before && h.Succeeds("grep -q '\"repaired\": true' /run/rlb/drift.json")
		})
		w.Serves("cp1", "cp2", "cp3")
	})
	run("the same thing changed all the time", changedAllTheTime)
	run("an idle agent says nothing", idle)
	run("drift is only reported", onlyReported)
}

// changedAllTheTime: a file that another program changes all the time is not repaired every second.
func changedAllTheTime(w *e2e.World, h *e2e.Host) {
	since := now(h)
	h.Shell("(for i in $(seq 70); do echo '# by hand' >> " + haproxyCfg + "; sleep 0.1; done) >/dev/null 2>&1 &")
	time.Sleep(7500 * time.Millisecond)
	log := agentLog(h, since)
	if n := strings.Count(log, haproxyCfg+" was edited by hand: put back"); n < 2 || n > 5 || !strings.Contains(log, "another program keeps changing this host") {
		w.Errorf("in 7 s: %d repairs:\n%s", n, log)
	}
	w.Eventually("the spec has its way in the end", 20*time.Second, func() bool { return !h.Succeeds("grep -q 'by hand' " + haproxyCfg) })
}

// idle watches an agent during three regular looks that find nothing.
func idle(w *e2e.World, h *e2e.Host) {
	h.WriteSpec(driftSpec("interval: 1s"))
	w.Eventually("the new interval is in force", 10*time.Second, func() bool {
		out, _ := h.Run(w.Context(), pair.Agent, "history")
		return strings.Count(out, "the daemon") > 0
	})
	time.Sleep(1500 * time.Millisecond)
	since := now(h)
	before := h.Shell("stat -c %Y.%y /run/rlb/status.json")
	time.Sleep(4 * time.Second)
	if log := agentLog(h, since); log != "" {
		w.Errorf("it says:\n%s", log)
	}
	if h.Shell("stat -c %Y.%y /run/rlb/status.json") == before {
		w.Error("there was no regular look meanwhile")
	}
	if out := h.Shell("journalctl -q -u rlb-agent --no-pager -o json | grep -c RLB_REASON; journalctl -q --no-pager -o json | grep -c " + driftSecret + " || true"); !strings.HasSuffix(out, "\n0\n") || strings.HasPrefix(out, "0\n") {
		w.Errorf("lines with a reason, and with a secret: %s", out)
	}
}

// onlyReported: with drift: report nothing is repaired, and the drift is logged once.
func onlyReported(w *e2e.World, h *e2e.Host) {
	since := now(h)
	h.WriteSpec(driftSpec("interval: 1s, drift: report"))
	w.Eventually("report is in force", 10*time.Second, func() bool { return h.Succeeds("grep -q report /var/lib/rlb/generations/*/spec.yaml") })
	h.Shell("systemctl stop haproxy")
	w.Eventually("the drift is logged", 5*time.Second, func() bool { return strings.Contains(agentLog(h, since), "A repair would: start haproxy.service") })
	w.Never("it is repaired", 2500*time.Millisecond, func() bool { return h.Is("active", "haproxy", "active") })
	if log := agentLog(h, since); strings.Count(log, "has drifted") != 1 {
		w.Errorf("logged more than once:\n%s", log)
	}
}
