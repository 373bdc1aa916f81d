package install

import (
	"regexp"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// users matches the files that list users and groups.
var users = regexp.MustCompile(`/etc/(passwd|shadow|group|gshadow)\b`)

// TestTeardown: a teardown restores the host's state before the first run, whatever it was, and a run after it makes
// the same host as the first run.
func TestTeardown(t *testing.T) {
	w := e2e.New(t)
	bare := w.Hosts(false, lab.Trixie, lab.Trixie)
	installed := w.Hosts(true, lab.Trixie, lab.Trixie)
	own := func(h *e2e.Host) {
		h.Shell(`printf 'global\n    maxconn 100\ndefaults\n    mode tcp\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\nlisten own\n    bind *:7000\n    server a 198.51.100.21:6443\n' > /etc/haproxy/haproxy.cfg
			chown 0:haproxy /etc/haproxy/haproxy.cfg; chmod 640 /etc/haproxy/haproxy.cfg; systemctl restart haproxy
			systemctl disable --now keepalived 2>/dev/null; iptables -A INPUT -p icmp -j ACCEPT`)
	}
	t.Run("hosts", func(t *testing.T) {
		for _, tt := range []struct {
			name string
			h    *e2e.Host
			prep func(*e2e.Host)
			keep string
		}{
			{"bare", bare[0], func(*e2e.Host) {}, ""},
			{"bare, packages stay", bare[1], func(*e2e.Host) {}, "--keep-packages"},
			{"own configurations", installed[0], own, ""},
			{"the original's scripts", installed[1], original, ""},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				h := tt.h.In(t)
				tt.prep(h)
				h.WriteSpec(h.OwnVIP(e2e.Spec()))
				h.Shell("apt-get update -qq")
				before := h.Snapshot()

				h.Must(pair.Agent, "--once")
				first := h.State()
				h.Shell("systemctl enable --now rlb-agent")
				args := strings.Fields("teardown " + tt.keep)
				code, out := h.RunAgent(args...)
				if code != 0 {
					t.Fatalf("exit code %d\n%s", code, out)
				}
				after := h.Snapshot()
				if tt.keep == "" {
					if after != before {
						t.Errorf("the host is not as before the first run:\n%s", e2e.Difference(before, after))
					}
				} else {
					var left []string
					for line := range strings.Lines(e2e.Difference(before, after)) {
						if users.MatchString(line) {
							continue // their users came with the packages
						}
						if strings.HasPrefix(line, "- ") || strings.Contains(line, "rlb") {
							left = append(left, line)
						}
					}
					if len(left) > 0 {
						t.Errorf("more than packages came, or something went:\n%s", strings.Join(left, ""))
					}
					if out := h.Shell("cat /etc/haproxy/haproxy.cfg; dpkg --verify haproxy keepalived 2>&1; true"); !strings.Contains(out, "errorfile") || strings.Contains(out, "??") {
						t.Errorf("the packages that stay are not as apt left them:\n%s", out)
					}
				}
				if code, out := h.RunAgent(args...); code != 0 {
					t.Errorf("a second teardown: exit code %d\n%s", code, out)
				}
				if again := h.Snapshot(); again != after {
					t.Errorf("the second teardown changed the host:\n%s", e2e.Difference(after, again))
				}
				h.Must(pair.Agent, "--once")
				if again := h.State(); plain(again) != plain(first) {
					t.Errorf("a run after the teardown does not make the same host:\n%s", e2e.Difference(plain(first), plain(again)))
				}
			})
		}
	})
}

// plain removes the files with times of runs, or with history, from a state.
func plain(state string) string {
	var b strings.Builder
	for line := range strings.Lines(state) {
		if !strings.Contains(line, "/var/lib/rlb/memory.json") && !strings.Contains(line, "/var/lib/rlb/packaged") && !strings.Contains(line, "/var/lib/rlb/before") {
			b.WriteString(line)
		}
	}
	return b.String()
}
