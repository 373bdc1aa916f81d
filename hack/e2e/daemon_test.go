package e2e

import (
	"fmt"
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
	// /root/new is the next spec: it names the first server anew
	h.sh("cp " + spec + " /root/base")
	for i, edit := range []struct{ name, script string }{
		{"moved into place", "cp /root/new /etc/rlb/new && mv /etc/rlb/new $SPEC"},
		{"sed -i", "sed -i s/edit0/edit1/ $SPEC"},
		{"copied over", "cp /root/new $SPEC"},
		{"written in pieces", "head -c 150 /root/new > $SPEC; sleep 0.1; cat /root/new > $SPEC"},
		{"as vim does", "touch /etc/rlb/4913; rm /etc/rlb/4913; mv $SPEC $SPEC~; cat /root/new > $SPEC; chmod 644 $SPEC; rm $SPEC~"},
		{"as nano does", "cp $SPEC /etc/rlb/.spec.yaml.swp; cat /root/new > $SPEC; rm /etc/rlb/.spec.yaml.swp"},
		{"removed and made again", "rm $SPEC; sleep 0.5; cp /root/new $SPEC"},
		{"its directory removed and made again", "rm -r /etc/rlb; sleep 0.5; mkdir /etc/rlb; cp /root/new $SPEC"},
		{"its directory moved away", "mv /etc/rlb /etc/rlb.old; mkdir /etc/rlb.new; cp /root/new /etc/rlb.new/spec.yaml; mv /etc/rlb.new /etc/rlb; rm -r /etc/rlb.old"},
		{"twice, the second in the middle of the first's run", "sed s/edit10/half/ /root/new > $SPEC; sleep 0.5; cp /root/new $SPEC"},
		{"a mount over its directory", "mkdir /root/m; mount -t tmpfs -o mode=755 none /root/m; cp /root/new /root/m/spec.yaml; mount --bind /root/m /etc/rlb"},
		{"in the mount", "cp /root/new $SPEC"},
		{"the mount taken away", "umount /etc/rlb; cp /root/new $SPEC"},
		{"made a ConfigMap", "cd /etc/rlb; mkdir ..v1; cp /root/new ..v1/spec.yaml; ln -s ..v1 ..data; ln -s ..data/spec.yaml l; mv l $SPEC"},
		{"a ConfigMap's swap", "cd /etc/rlb; mkdir ..v2; cp /root/new ..v2/spec.yaml; ln -s ..v2 ..data_tmp; mv -T ..data_tmp ..data; rm -r ..v1"},
		{"without an end", "(for i in $(seq 80); do cp /root/new $SPEC; sleep 0.1; done; touch /root/ended) >/dev/null 2>&1 & sleep 0.3"},
	} {
		h.sh(fmt.Sprintf("sed s/cp1/edit%d/ /root/base > /root/new", i))
		start := time.Now()
		h.sh(strings.ReplaceAll(edit.script, "$SPEC", spec))
		w.eventually(edit.name+" goes live", 10*time.Second, has(fmt.Sprintf("server edit%d ", i)))
		t.Logf("%s: in the file after %v", edit.name, time.Since(start).Round(10*time.Millisecond))
	}
	w.eventually("the edits without an end have ended", 20*time.Second, func() bool { return h.true("test -e /root/ended") })
	h.sh("rm -r /etc/rlb; mkdir /etc/rlb; cp /root/new " + spec) // a plain file again
	if out := h.sh("cat /etc/haproxy/haproxy.cfg"); strings.Contains(out, "half") {
		t.Error("a state that was over stayed in force")
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
	w.eventually("drift is repaired as the last good spec says", 10*time.Second, func() bool { return !has("# by hand")() && has("server edit")() })
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
