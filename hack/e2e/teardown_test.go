package e2e

import (
	"regexp"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/hack/lab"
)

// volatile is what changes on a Debian by itself, or whenever apt or dpkg run, whoever asked them to. All other files
// must be after a teardown what they were.
var volatile = []string{
	"/etc/mtab",                             // the kernel's
	"/etc/rlb", "/usr/local/sbin/rlb-agent", // the spec and the program are the administrator's: they stay
	"/etc/iproute2",                           // keepalived 2.3 makes a file there when it starts, and leaves it
	"/var/lib/haproxy",                        // systemd's, for haproxy.service; because of it a purge leaves the directory
	"/etc/ld.so.cache", "/var/cache/ldconfig", // ldconfig runs when libraries come or go
	"/etc/passwd-", "/etc/shadow-", "/etc/group-", "/etc/gshadow-", "/etc/subuid-", "/etc/subgid-", "/etc/.pwd.lock", // copies that adduser leaves
	"/var/cache/apt", "/var/cache/debconf", "/var/lib/apt", // what apt and debconf note for themselves
	"/var/lib/dpkg/available", "/var/lib/dpkg/status", "/var/lib/dpkg/diversions", "/var/lib/dpkg/lock", "/var/lib/dpkg/triggers",
	"/var/log", "/var/tmp", "/var/backups", "/var/lib/private",
	"/var/lib/systemd/random-seed", "/var/lib/systemd/timers", "/var/lib/systemd/catalog", "/var/lib/systemd/coredump",
	"/var/lib/systemd/deb-systemd-helper-enabled", "/var/lib/systemd/deb-systemd-helper-masked", // directories that stay, empty
	"/usr/share/man", "/usr/lib/udev/hwdb.bin",
}

// users are the files that list users and groups.
var users = regexp.MustCompile(`/etc/(passwd|shadow|group|gshadow)\b`)

// snapshot is the whole host: every file with owner, mode and content (below /usr its size and
// time), rules, units and packages.
func (h *host) snapshot() string {
	h.w.Helper()
	prune := ""
	for _, path := range volatile {
		prune += " -path " + path + " -prune -o -path '" + path + "-old' -prune -o"
	}
	return h.sh(`
		find /usr -xdev` + prune + ` -type d -printf '%p %y %m %U:%G\n' -o -printf '%p %y %m %U:%G %s %T@ %l\n' | sort
		find /etc /var /root /opt /srv /home -xdev` + prune + ` -printf '%p %y %m %U:%G %l\n' | sort
		find /etc /var /root -xdev` + prune + ` -type f -print0 | xargs -0 sha256sum | sort -k 2
		iptables -S; ip6tables -S
		systemctl list-unit-files --no-legend --plain | grep -v -e transient -e generated
		systemctl list-units --all --no-legend --plain --type=service,socket,timer,path | grep -v -e not-found -e transient -e apt-daily -e systemd-tmpfiles-clean -e user@ -e user-runtime -e modprobe@ | sed 's/  */ /g' | cut -d ' ' -f 1-4
		dpkg --get-selections; apt-mark showmanual; getent passwd; getent group`)
}

// A teardown leaves the host as it was before the first run, whatever it was, and a run after it makes the same host
// as the first.
func TestTeardown(t *testing.T) {
	w := newWorld(t)
	bare := w.hosts(false, lab.Trixie, lab.Trixie)
	installed := w.hosts(true, lab.Trixie, lab.Trixie)
	own := func(h *host) {
		h.sh(`printf 'global\n    maxconn 100\ndefaults\n    mode tcp\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\nlisten own\n    bind *:7000\n    server a 198.51.100.21:6443\n' > /etc/haproxy/haproxy.cfg
			chown 0:haproxy /etc/haproxy/haproxy.cfg; chmod 640 /etc/haproxy/haproxy.cfg; systemctl restart haproxy
			systemctl disable --now keepalived 2>/dev/null; iptables -A INPUT -p icmp -j ACCEPT`)
	}
	t.Run("hosts", func(t *testing.T) {
		for _, tt := range []struct {
			name string
			h    *host
			prep func(*host)
			keep string
		}{
			{"bare", bare[0], func(*host) {}, ""},
			{"bare, packages stay", bare[1], func(*host) {}, "--keep-packages"},
			{"own configurations", installed[0], own, ""},
			{"the original's scripts", installed[1], (*host).original, ""},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				h := tt.h.in(t)
				tt.prep(h)
				h.writeSpec(h.ownVIP(specOf()))
				if err := h.CopyIn("../systemd/rlb-agent.service", "/etc/systemd/system/rlb-agent.service", 0o644); err != nil {
					t.Fatal(err)
				}
				h.sh("systemctl daemon-reload; apt-get update -qq")
				before := h.snapshot()

				h.must(agent, "--once")
				first := h.state()
				h.sh("systemctl enable --now rlb-agent")
				args := strings.Fields("teardown " + tt.keep)
				code, out := h.code(args...)
				if code != 0 {
					t.Fatalf("exit code %d\n%s", code, out)
				}
				after := h.snapshot()
				if tt.keep == "" {
					if after != before {
						t.Errorf("the host is not as before the first run:\n%s", difference(before, after))
					}
				} else {
					var left []string
					for line := range strings.Lines(difference(before, after)) {
						if users.MatchString(line) {
							continue // theirs came with the packages
						}
						if strings.HasPrefix(line, "- ") || strings.Contains(line, "rlb") {
							left = append(left, line)
						}
					}
					if len(left) > 0 {
						t.Errorf("more than packages came, or something went:\n%s", strings.Join(left, ""))
					}
					if out := h.sh("cat /etc/haproxy/haproxy.cfg; dpkg --verify haproxy keepalived 2>&1; true"); !strings.Contains(out, "errorfile") || strings.Contains(out, "??") {
						t.Errorf("the packages that stay are not as apt left them:\n%s", out)
					}
				}
				if code, out := h.code(args...); code != 0 {
					t.Errorf("a second teardown: exit code %d\n%s", code, out)
				}
				if again := h.snapshot(); again != after {
					t.Errorf("the second teardown changed the host:\n%s", difference(after, again))
				}
				h.must(agent, "--once")
				if again := h.state(); plain(again) != plain(first) {
					t.Errorf("a run after the teardown does not make the same host:\n%s", difference(plain(first), plain(again)))
				}
			})
		}
	})
}

// plain is a state without what holds the time of a run, or its history.
func plain(state string) string {
	var b strings.Builder
	for line := range strings.Lines(state) {
		if !strings.Contains(line, "/var/lib/rlb/memory.json") && !strings.Contains(line, "/var/lib/rlb/packaged") && !strings.Contains(line, "/var/lib/rlb/before") {
			b.WriteString(line)
		}
	}
	return b.String()
}
