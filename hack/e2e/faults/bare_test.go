package faults

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
)

// TestBareHostRefused: a bare host on which a spec cannot come into force is left as bare as before.
func TestBareHostRefused(t *testing.T) {
	w := e2e.New(t)
	hosts := w.Hosts(false, lab.Trixie, lab.Bookworm, lab.Trixie)
	t.Run("hosts", func(t *testing.T) {
		for i, tt := range []struct {
			name, spec, broken, fixed string
			code                      int
			reason                    string
		}{
			{"refused by the programs just unpacked", e2e.Spec("proxy:", "  extraGlobal: bogus directive"), "true", "true", 4, "proxy.extraGlobal: /etc/haproxy/haproxy.cfg:"},
			{"refused by both, Debian 12", e2e.Spec("proxy:", "  extraGlobal: bogus directive", "vrrp:", "  extraInstance: bogus directive"), "true", "true", 4, "vrrp.extraInstance: /etc/keepalived/keepalived.conf:"},
			{"packages missing from the archive", e2e.Spec(), "mv /srv/repo/Packages /root/; : > /srv/repo/Packages; rm -f /srv/repo/Packages.gz; apt-get update -qq", "mv /root/Packages /srv/repo/; apt-get update -qq", 4, "haproxy"},
		} {
			h := hosts[i]
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				h := h.In(t)
				h.Shell("apt-get update -qq; " + tt.broken)
				before := h.Snapshot()
				h.WriteSpec(h.OwnVIP(tt.spec))
				code, out := h.RunAgent("--once")
				if code != tt.code || !strings.Contains(out, tt.reason) {
					t.Errorf("exit code %d, want %d with %q:\n%s", code, tt.code, tt.reason, out)
				}
				if after := h.Snapshot(); withoutState(after) != withoutState(before) {
					t.Errorf("the host is not as before:\n%s", e2e.Difference(before, after))
				}
				h.Shell(tt.fixed)
				h.WriteSpec(h.OwnVIP(e2e.Spec()))
				e2e.Row(t, "bare host: "+tt.name, lab.Report{}, fmt.Sprintf("exit %d: %s", code, e2e.Brief(out)), h.Converges(tt.name))
			})
		}
	})
}

// withoutState returns a snapshot without the agent's own directory.
func withoutState(snapshot string) string {
	var b strings.Builder
	for line := range strings.Lines(snapshot) {
		if !strings.HasPrefix(line, "/var/lib/rlb") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// TestKilledWhileInstalling: the agent is killed while it installs packages on a bare host: at the effects of the
// installation, and in the middle of apt's work; dpkg is never killed with it. The next run waits for the running
// installation, and converges. RLB_KILL_POINTS=all also kills at every effect before it;
// TestKilledInFirstRunAndTeardown does that on hosts that have the packages.
func TestKilledWhileInstalling(t *testing.T) {
	w := e2e.New(t)
	const installing = "InstallPackages"
	points := []string{"dpkg's middle, SIGKILL", "dpkg's middle, SIGTERM", "torn:1", "kill-before:" + installing, "kill-after:" + installing}
	if os.Getenv("RLB_KILL_POINTS") == "all" {
		h := w.Hosts(false, lab.Trixie)[0]
		h.WriteSpec(e2e.Spec())
		if code, out := h.RunFaulty("count:/run/effects", "--once"); code != 0 {
			t.Fatalf("exit code %d\n%s", code, out)
		}
		before, _, _ := strings.Cut(h.Shell("cat /run/effects"), installing)
		for i := range strings.Count(before, "\n") {
			points = append(points, fmt.Sprintf("kill-before:%d", i+1))
		}
		h.Crash()
	}
	for first := 0; first < len(points); first += 3 { // three at a time
		hosts := w.Hosts(false, []lab.Release{lab.Trixie, lab.Trixie, lab.Trixie}[:min(3, len(points)-first)]...)
		t.Run("hosts", func(t *testing.T) {
			for i, h := range hosts {
				t.Run(points[first+i], func(t *testing.T) {
					t.Parallel()
					killedInstalling(h.In(t), points[first+i])
				})
			}
		})
		for _, h := range hosts {
			h.Crash()
		}
	}
	e2e.Row(t, fmt.Sprintf("agent killed at %d points of an installation on a bare host", len(points)), lab.Report{}, "killed", "waited for dpkg, converged")
}

func killedInstalling(h *e2e.Host, point string) {
	h.WriteSpec(h.OwnVIP(e2e.Spec()))
	signal, middle := strings.CutPrefix(point, "dpkg's middle, SIG")
	if !middle {
		if code, out := h.RunFaulty(point, "--once"); code != 137 {
			h.World.Fatalf("exit code %d\n%s", code, out)
		}
		h.Converges(point)
		return
	}
	done := make(chan int, 1)
	go func() {
		code, _ := h.RunFaulty("", "--once")
		done <- code
	}()
	h.Shell("until pgrep -f '[-]-unpack'; do sleep 0.02; done; kill -" + signal + " $(pgrep -f '^" + e2e.Faulty + "')")
	start := time.Now()
	code := <-done
	switch working, _ := h.Run(h.World.Context(), "pgrep", "-x", "apt-get"); {
	case signal == "KILL" && (code != 137 || working == ""):
		h.World.Errorf("SIGKILL: exit code %d; apt is at work: %t", code, working != "")
	case signal == "TERM" && (code != 4 || working != ""):
		h.World.Errorf("SIGTERM: exit code %d; apt is at work: %t", code, working != "")
	}
	h.World.Logf("it ended after %v", time.Since(start).Round(time.Millisecond))
	h.Converges(point)
	if out := h.Shell("dpkg --audit"); out != "" {
		h.World.Errorf("dpkg --audit: %s", out)
	}
}
