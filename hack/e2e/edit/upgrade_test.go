package edit

import (
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// aptInstall is how an administrator installs another version of a held package.
const aptInstall = "apt-get install -qy --allow-change-held-packages --allow-downgrades -o Dpkg::Options::=--force-confold "

// TestUpgrade: apt upgrades HAProxy from 3.2 to 3.4, which refuses what was rendered for 3.2, and back. The daemon, or
// the next run, brings the files for the new version into force; no new connection fails and no open one is cut.
func TestUpgrade(t *testing.T) {
	w := e2e.New(t)
	for _, r := range []lab.Release{lab.Sid, lab.Experimental} {
		lab.RequireRelease(t.Context(), t, r)
	}
	h := w.Hosts(true, lab.Sid)[0]
	h.Apply(e2e.Spec())
	w.Eventually("the host is active", 5*time.Second, h.Active)
	w.Serves("cp1", "cp2", "cp3")
	installed := func() string { return h.Must("dpkg-query", "-W", "-f", "${Version}", "haproxy") }
	old := installed()
	if err := h.AddFrom(t.Context(), lab.Experimental, "haproxy"); err != nil {
		t.Fatal(err)
	}
	h.Shell("apt-get update -q >/dev/null")
	target := strings.TrimSpace(h.Shell("apt-cache policy haproxy | sed -n 's/ *Candidate: //p'"))
	if !strings.HasPrefix(old, "3.2.") || old == target {
		t.Skipf("SKIPPED: sid has HAProxy %s, experimental %s: no upgrade across the versions that matter is available today", old, target)
	}

	for _, by := range []string{"once", "daemon"} {
		if by == "daemon" {
			e2e.StartDaemon(h)
		}
		for _, version := range []string{target, old} {
			t.Logf("to %s, brought into force by %s", version, by)
			upgradeTo(h, version, by == "daemon")
			if got := installed(); got != version {
				t.Fatalf("haproxy is %s", got)
			}
			if by == "once" && version == target {
				brokenBeside(h)
			}
		}
	}
}

// brokenBeside breaks a file that the unit of HAProxy 3.4 reads in addition to the rendered one: an edit is refused
// before anything is touched, with the name of that file.
func brokenBeside(h *e2e.Host) {
	const beside = "/etc/haproxy/conf.d/broken.cfg"
	h.World.Helper()
	h.Shell("echo nonsense >" + beside)
	before := h.Shell("cat /etc/haproxy/haproxy.cfg")
	h.WriteSpec(e2e.Spec("proxy: {retries: 5}"))
	if code, out := h.RunAgent("--once"); code != 3 || !strings.Contains(out, beside) || h.Shell("cat /etc/haproxy/haproxy.cfg") != before {
		h.World.Errorf("a broken file beside the rendered one: %d: %s", code, out)
	}
	h.Shell("rm " + beside)
	h.Apply(e2e.Spec())
}

// upgradeTo installs a version of HAProxy under load, and checks that it serves.
func upgradeTo(h *e2e.Host, version string, daemon bool) {
	w := h.World
	w.Helper()
	var quiet []*lab.LongConn
	for range 20 {
		conn, err := w.Client.LongConn(w.Context(), pair.Service)
		if err != nil {
			w.Fatal(err)
		}
		defer conn.Close()
		quiet = append(quiet, conn)
	}
	p, err := w.Client.Probe(pair.Service, lab.ProbeOptions{Interval: 5 * time.Millisecond, Timeout: 10 * time.Second})
	if err != nil {
		w.Fatal(err)
	}
	h.Shell(aptInstall + "haproxy=" + version + " </dev/null")
	if !daemon {
		s, _ := h.Status()
		if c := s.Condition("InSync"); c.Status != "False" || !strings.Contains(c.Message, "haproxy "+version) {
			w.Errorf("before the run the status says %+v", c)
		}
		h.Must(pair.Agent, "--once")
	}
	start := time.Now()
	w.Eventually("HAProxy "+version+" serves", 20*time.Second, func() bool {
		s, _ := h.Status()
		running := h.Shell("haproxy -v | head -n 1; for pid in $(pgrep -x haproxy); do readlink /proc/$pid/exe || true; done")
		return s.Is("InSync") && s.Is("Serving") && s.Versions.HAProxy == version && strings.Count(running, "/usr/sbin/haproxy\n") >= 2
	})
	w.Logf("in force %v after apt", time.Since(start).Round(10*time.Millisecond))
	report := p.Stop()
	w.Logf("probe: %d connections, %d failed, gap %v, itself late by %v, %v", report.Total, report.Failed, report.Gap, report.Late, report.Errors)
	if report.Failed > 0 { // timeouts do not explain it: connections were refused, cut or lost
		w.Errorf("%d of %d connections failed: %v\n%s", report.Failed, report.Total, report.Errors, h.Shell("journalctl -b --no-pager -o short-precise -u rlb-agent -u haproxy -u keepalived -n 80"))
	}
	for _, conn := range quiet {
		if _, cut, err := conn.Cut(); cut {
			w.Errorf("a connection was cut: %v", err)
		}
	}
	if frontend := h.Shell("grep ^frontend /etc/haproxy/haproxy.cfg | head -n 1"); frontend != "frontend kube-apiserver:in\n" {
		w.Errorf("rendered: %s", frontend)
	}
	if out := h.Must(pair.Agent, "--once"); !strings.Contains(out, "nothing to do") {
		w.Errorf("one more run: %s", out)
	}
	h.Must("systemctl", "reload", "haproxy") // the package's own reload works too
}
