package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// A bare host on which a spec cannot come into force is as bare as before.
func TestBareHostRefused(t *testing.T) {
	w := newWorld(t)
	hosts := w.hosts(false, lab.Trixie, lab.Bookworm, lab.Trixie)
	t.Run("hosts", func(t *testing.T) {
		for i, tt := range []struct {
			name, spec, broken, mended string
			code                       int
			reason                     string
		}{
			{"refused by the programs just unpacked", specOf("proxy:", "  extraGlobal: bogus directive"), "true", "true", 4, "proxy.extraGlobal: /etc/haproxy/haproxy.cfg:"},
			{"refused by both, Debian 12", specOf("proxy:", "  extraGlobal: bogus directive", "vrrp:", "  extraInstance: bogus directive"), "true", "true", 4, "vrrp.extraInstance: /etc/keepalived/keepalived.conf:"},
			{"packages missing from the archive", specOf(), "mv /srv/repo/Packages /root/; : > /srv/repo/Packages; rm -f /srv/repo/Packages.gz; apt-get update -qq", "mv /root/Packages /srv/repo/; apt-get update -qq", 4, "haproxy"},
		} {
			h := hosts[i]
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				h := h.in(t)
				h.sh("apt-get update -qq; " + tt.broken)
				before := h.snapshot()
				h.writeSpec(h.ownVIP(tt.spec))
				code, out := h.code("--once")
				if code != tt.code || !strings.Contains(out, tt.reason) {
					t.Errorf("exit code %d, want %d with %q:\n%s", code, tt.code, tt.reason, out)
				}
				if after := h.snapshot(); withoutState(after) != withoutState(before) {
					t.Errorf("the host is not as before:\n%s", difference(before, after))
				}
				h.sh(tt.mended)
				h.writeSpec(h.ownVIP(specOf()))
				row(t, "bare host: "+tt.name, lab.Report{}, fmt.Sprintf("exit %d: %s", code, brief(out)), h.converges(tt.name))
			})
		}
	})
}

// withoutState is a snapshot without the agent's own directory.
func withoutState(snapshot string) string {
	var b strings.Builder
	for line := range strings.Lines(snapshot) {
		if !strings.HasPrefix(line, "/var/lib/rlb") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// The agent is killed while it brings packages to a bare host, at every effect up to their end and in the middle of
// apt's work; dpkg is never killed with it. The next run waits for what is under way, and converges.
func TestKilledWhileInstalling(t *testing.T) {
	w := newWorld(t)
	h := w.hosts(false, lab.Trixie)[0]
	h.writeSpec(specOf())
	if code, out := h.fault("count:/run/effects", "--once"); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	var points []string
	for i, effect := range strings.Split(strings.TrimSpace(h.sh("cat /run/effects")), "\n") {
		points = append(points, fmt.Sprintf("kill-before:%d", i+1))
		if strings.HasPrefix(effect, "WriteFile") && i == 0 {
			points = append(points, fmt.Sprintf("torn:%d", i+1))
		}
		if strings.HasPrefix(effect, "InstallPackages") {
			points = append(points, fmt.Sprintf("kill-after:%d", i+1), "dpkg's middle, SIGKILL", "dpkg's middle, SIGTERM")
			break
		}
	}
	for first := 0; first < len(points); first += 3 { // three at a time
		hosts := w.hosts(false, []lab.Release{lab.Trixie, lab.Trixie, lab.Trixie}[:min(3, len(points)-first)]...)
		t.Run("hosts", func(t *testing.T) {
			for i, h := range hosts {
				t.Run(points[first+i], func(t *testing.T) {
					t.Parallel()
					h.in(t).killedInstalling(points[first+i])
				})
			}
		})
		for _, h := range hosts {
			h.Crash()
		}
	}
	row(t, fmt.Sprintf("agent killed at %d points of an installation on a bare host", len(points)), lab.Report{}, "killed", "waited for dpkg, converged")
}

func (h *host) killedInstalling(point string) {
	h.writeSpec(h.ownVIP(specOf()))
	signal, middle := strings.CutPrefix(point, "dpkg's middle, SIG")
	if !middle {
		if code, out := h.fault(point, "--once"); code != 137 {
			h.w.Fatalf("exit code %d\n%s", code, out)
		}
		h.converges(point)
		return
	}
	done := make(chan int, 1)
	go func() {
		code, _ := h.fault("", "--once")
		done <- code
	}()
	h.sh("until pgrep -f '[-]-unpack'; do sleep 0.02; done; kill -" + signal + " $(pgrep -f '^" + faulty + "')")
	start := time.Now()
	code := <-done
	switch working, _ := h.Run(h.w.Context(), "pgrep", "-x", "apt-get"); {
	case signal == "KILL" && (code != 137 || working == ""):
		h.w.Errorf("SIGKILL: exit code %d; apt is at work: %t", code, working != "")
	case signal == "TERM" && (code != 4 || working != ""):
		h.w.Errorf("SIGTERM: exit code %d; apt is at work: %t", code, working != "")
	}
	h.w.Logf("it ended after %v", time.Since(start).Round(time.Millisecond))
	h.converges(point)
	if out := h.sh("dpkg --audit"); out != "" {
		h.w.Errorf("dpkg --audit: %s", out)
	}
}
