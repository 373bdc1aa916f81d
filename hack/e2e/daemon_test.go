package e2e

import (
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// The daemon reconciles at start, on an edit however it is made, and on SIGHUP; its own end touches nothing.
func TestDaemon(t *testing.T) {
	w := newWorld(t)
	h := w.hosts(true, lab.Trixie)[0]
	if err := h.CopyIn("../systemd/rlb-agent.service", "/etc/systemd/system/rlb-agent.service", 0o644); err != nil {
		t.Fatal(err)
	}
	two := strings.Replace(specOf(), "  - {name: cp3, address: 198.51.100.23, port: 6443}\n", "", 1)
	h.writeSpec(two)
	h.sh("systemctl daemon-reload; systemctl enable --now rlb-agent")
	w.serves("cp1", "cp2")

	has := func(text string) func() bool {
		return func() bool {
			out, err := h.Run(t.Context(), "cat", "/etc/haproxy/haproxy.cfg")
			return err == nil && strings.Contains(out, text)
		}
	}
	for _, edit := range []struct{ name, script, want string }{
		{"moved into place", "sed 's/cp1/moved/' $SPEC > /etc/rlb/new && mv /etc/rlb/new $SPEC", "server moved "},
		{"sed -i", "sed -i s/moved/sed/ $SPEC", "server sed "},
		{"copied over", "sed s/sed/copied/ $SPEC > /root/new; cp /root/new $SPEC", "server copied "},
		{"written in pieces", "sed s/copied/pieces/ $SPEC > /root/new; head -c 150 /root/new > $SPEC; sleep 0.1; cat /root/new > $SPEC", "server pieces "},
	} {
		start := time.Now()
		h.sh(strings.ReplaceAll(edit.script, "$SPEC", spec))
		w.eventually(edit.name+" goes live", 10*time.Second, has(edit.want))
		t.Logf("%s: in the file after %v", edit.name, time.Since(start).Round(time.Millisecond))
	}

	// a bad edit changes nothing and is told; the good one after it goes live
	before := h.sh("cat /etc/haproxy/haproxy.cfg; systemctl show -p MainPID haproxy keepalived")
	h.sh("cp " + spec + " /root/good; echo 'proxi: {}' >> " + spec)
	w.eventually("the bad edit is told", 10*time.Second, func() bool {
		out, _ := h.Run(t.Context(), "journalctl", "-u", "rlb-agent", "--no-pager", "-o", "cat")
		return strings.Contains(out, `proxi: unknown field, did you mean "proxy"?`)
	})
	if after := h.sh("cat /etc/haproxy/haproxy.cfg; systemctl show -p MainPID haproxy keepalived"); after != before {
		t.Errorf("the bad edit changed the host: %s", after)
	}
	// meanwhile the last good spec stays in force, drift included
	h.sh("echo '# by hand' >> /etc/haproxy/haproxy.cfg; systemctl reload rlb-agent")
	w.eventually("drift is repaired as the last good spec says", 10*time.Second, func() bool { return !has("# by hand")() && has("server pieces ")() })
	h.writeSpec(specOf())
	w.eventually("the good edit after it goes live", 10*time.Second, has("server cp1 "))

	// asked to, it reconciles now
	h.sh("echo '# by hand' >> /etc/haproxy/haproxy.cfg; systemctl reload rlb-agent")
	w.eventually("drift is repaired on SIGHUP", 10*time.Second, func() bool { return !has("# by hand")() })

	// at boot it is there before the services, and keeps nobody waiting
	if err := h.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.eventually("agent and services up after a boot", 20*time.Second, func() bool {
		return h.is("active", "rlb-agent", "active") && h.is("active", "haproxy", "active") && h.is("active", "keepalived", "active") && h.active()
	})
	w.serves("cp1", "cp2", "cp3")

	// its end touches nothing
	report := w.probe(time.Second, func() { h.sh("systemctl restart rlb-agent; systemctl stop rlb-agent") })
	if report.Failed > 0 && report.Late < stall {
		t.Errorf("%d connections failed when the agent was restarted and stopped: %v", report.Failed, report.Errors)
	}
	if !h.is("active", "haproxy", "active") || !h.is("active", "keepalived", "active") || !h.active() {
		t.Error("the end of the agent touched the services")
	}
	if out := h.sh("systemctl show -p Result rlb-agent"); !strings.Contains(out, "success") {
		t.Errorf("the agent did not stop cleanly: %s", out)
	}
}
