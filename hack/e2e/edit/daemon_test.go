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

// liveEdits are ways to edit the spec: each changes $SPEC to /root/new, whose first server is $NAME.
var liveEdits = []struct {
	name  string
	steps []string
}{
	{"moved into place", []string{"cp /root/new /etc/rlb/new && mv /etc/rlb/new $SPEC"}},
	{"sed -i", []string{"sed -i 's/{name: [a-z0-9]*, address: 198.51.100.21,/{name: $NAME, address: 198.51.100.21,/' $SPEC"}},
	{"copied over", []string{"cp /root/new $SPEC"}},
	{"written in pieces", []string{"head -c 150 /root/new > $SPEC; sleep 0.1; cat /root/new > $SPEC"}},
	{"as vim does", []string{"touch /etc/rlb/4913; rm /etc/rlb/4913; mv $SPEC $SPEC~; cat /root/new > $SPEC; chmod 644 $SPEC; rm $SPEC~"}},
	{"as nano does", []string{"cp $SPEC /etc/rlb/.spec.yaml.swp; cat /root/new > $SPEC; rm /etc/rlb/.spec.yaml.swp"}},
	{"removed and made again", []string{"rm $SPEC; sleep 0.5; cp /root/new $SPEC"}},
	{"its directory removed and made again", []string{"rm -r /etc/rlb; sleep 0.5; mkdir /etc/rlb; cp /root/new $SPEC"}},
	{"its directory moved away", []string{"mv /etc/rlb /etc/rlb.old; mkdir /etc/rlb.new; cp /root/new /etc/rlb.new/spec.yaml; mv /etc/rlb.new /etc/rlb; rm -r /etc/rlb.old"}},
	{"twice, the second in the middle of the first's run", []string{"sed s/$NAME/half/ /root/new > $SPEC; sleep 0.5; cp /root/new $SPEC"}},
	{"a mount over its directory, in it, and taken away", []string{
		"mkdir /root/m; mount -t tmpfs -o mode=755 none /root/m; cp /root/new /root/m/spec.yaml; mount --bind /root/m /etc/rlb",
		"cp /root/new $SPEC",
		"umount /etc/rlb; cp /root/new $SPEC",
	}},
	{"made a ConfigMap, and its swap", []string{
		"cd /etc/rlb; mkdir ..v1; cp /root/new ..v1/spec.yaml; ln -s ..v1 ..data; ln -s ..data/spec.yaml l; mv l $SPEC",
		"cd /etc/rlb; mkdir ..v2; cp /root/new ..v2/spec.yaml; ln -s ..v2 ..data_tmp; mv -T ..data_tmp ..data; rm -r ..v1",
	}},
	{"again and again for 8 s", []string{"(for i in $(seq 80); do cp /root/new $SPEC; sleep 0.1; done) >/dev/null 2>&1 & sleep 0.3"}},
}

// inConfig returns a function that reports whether HAProxy's configuration has this text.
func inConfig(h *e2e.Host, text string) func() bool {
	return func() bool {
		data, err := h.ReadFile("/etc/haproxy/haproxy.cfg")
		return err == nil && strings.Contains(string(data), text)
	}
}

// plainSpec restores the first spec as a plain file, whatever an edit has made of it.
const plainSpec = "umount /etc/rlb 2>/dev/null; rm -rf /etc/rlb /etc/rlb.old /etc/rlb.new; mkdir /etc/rlb; cp /root/base " + pair.SpecFile

// TestDaemon: the daemon reconciles at start, after an edit however it is made, and on SIGHUP; its own end touches
// nothing.
func TestDaemon(t *testing.T) {
	w := e2e.New(t)
	h := w.Hosts(true, lab.Trixie)[0]
	h.WriteSpec(e2e.TwoServers())
	h.Shell("systemctl enable --now rlb-agent; cp " + pair.SpecFile + " /root/base")
	w.Serves("cp1", "cp2")
	cases := w.NewCases(func(w *e2e.World) {
		h := h.In(w.T)
		h.Shell(plainSpec + "; systemctl restart rlb-agent")
		e2e.StartDaemon(h)
	})
	run := func(name string, do func(*e2e.World, *e2e.Host)) {
		cases.Run(name, func(w *e2e.World) { do(w, h.In(w.T)) })
	}

	edits := 0
	for _, edit := range liveEdits {
		run(edit.name, func(w *e2e.World, h *e2e.Host) {
			for _, step := range edit.steps {
				edits++
				name := fmt.Sprintf("edit%d", edits)
				h.Shell("sed s/cp1/" + name + "/ /root/base > /root/new")
				start := time.Now()
				h.Shell(strings.NewReplacer("$SPEC", pair.SpecFile, "$NAME", name).Replace(step))
				w.Eventually("it goes live", 10*time.Second, inConfig(h, "server "+name+" "))
				w.Logf("in the file after %v", time.Since(start).Round(10*time.Millisecond))
			}
			if inConfig(h, "server half ")() {
				w.Error("a spec that was replaced stayed in force")
			}
		})
	}
	run("a plain file again", func(w *e2e.World, h *e2e.Host) {
		w.Eventually("no edit is under way", 20*time.Second, func() bool { return !h.Succeeds("pgrep -f 'seq [8]0'") })
		h.Shell(plainSpec)
		w.Eventually("it goes live", 10*time.Second, inConfig(h, "server cp1 "))
	})
	run("a bad edit", badEdit)
	run("SIGHUP", func(w *e2e.World, h *e2e.Host) {
		h.Shell("echo '# by hand' >> /etc/haproxy/haproxy.cfg; systemctl reload rlb-agent")
		w.Eventually("drift is repaired", 10*time.Second, func() bool { return !inConfig(h, "# by hand")() })
	})
	run("a boot", func(w *e2e.World, h *e2e.Host) { // the agent starts before the services, and delays none
		h.WriteSpec(e2e.Spec())
		w.Eventually("three servers", 10*time.Second, inConfig(h, "server cp3 "))
		if err := h.Reboot(w.Context()); err != nil {
			w.Fatal(err)
		}
		w.Eventually("agent and services are up", 20*time.Second, func() bool {
			return h.Is("active", "rlb-agent", "active") && h.Is("active", "haproxy", "active") && h.Is("active", "keepalived", "active") && h.Active()
		})
		w.Serves("cp1", "cp2", "cp3")
	})
	run("its own end", ownEnd)
}

// badEdit: an invalid edit changes nothing and is reported; the valid edit after it takes effect.
func badEdit(w *e2e.World, h *e2e.Host) {
	const running = "cat /etc/haproxy/haproxy.cfg; systemctl show -p MainPID haproxy keepalived"
	before := h.Shell(running)
	h.Shell("echo 'proxi: {}' >> " + pair.SpecFile)
	w.Eventually("it is in the log", 10*time.Second, func() bool {
		out, _ := h.Run(w.Context(), "journalctl", "-u", "rlb-agent", "--no-pager", "-o", "cat")
		return strings.Contains(out, `proxi: unknown field, did you mean "proxy"?`)
	})
	if after := h.Shell(running); after != before {
		w.Errorf("it changed the host: %s", after)
	}
	// meanwhile the last good spec stays in force, and its drift is repaired
	h.Shell("echo '# by hand' >> /etc/haproxy/haproxy.cfg; systemctl reload rlb-agent")
	w.Eventually("drift is repaired as the last good spec says", 10*time.Second, func() bool { return !inConfig(h, "# by hand")() && inConfig(h, "server cp1")() })
	h.WriteSpec(e2e.Spec())
	w.Eventually("the good edit goes live", 10*time.Second, inConfig(h, "server cp3 "))
}

// ownEnd restarts and stops the agent, which touches nothing.
func ownEnd(w *e2e.World, h *e2e.Host) {
	w.Judge("the agent restarted and stopped", func() (lab.Report, error) {
		report := w.Losses(time.Second, func() { h.Shell("systemctl restart rlb-agent; systemctl stop rlb-agent") })
		return report, e2e.Lossless(report)
	})
	if !h.Is("active", "haproxy", "active") || !h.Is("active", "keepalived", "active") || !h.Active() {
		w.Error("the services do not run as before")
	}
	if out := h.Shell("systemctl show -p Result rlb-agent"); !strings.Contains(out, "success") {
		w.Errorf("the agent did not stop cleanly: %s", out)
	}
}
