package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/hack/lab"
)

// in is the host for a subtest, which reports what goes wrong.
func (h *host) in(t *testing.T) *host {
	w := *h.w
	w.T = t
	return &host{h.Host, &w}
}

// ownVIP is a spec with a virtual IP, and so a virtual router, for this host alone.
func (h *host) ownVIP(text string) string {
	own := h.Addr().As4()
	own[3] += 100
	return strings.Replace(text, vip, netip.AddrFrom4(own).String(), 1)
}

// state is all that the agent changes on a host whose packages stay, without times and numbers of processes.
func (h *host) state() string {
	h.w.Helper()
	return h.sh(`
		for unit in haproxy keepalived rlb-firewall rlb-agent; do echo $unit $(systemctl is-active $unit) $(systemctl is-enabled $unit 2>/dev/null); done
		find /etc /var/lib/rlb -printf '%p %y %m %U:%G %l\n' | grep -v -e /etc/mtab -e /etc/rlb/ -e /etc/iproute2 | sort
		find /etc -type f -exec sha256sum {} + | grep -v -e /etc/rlb/ -e /etc/iproute2 | sort -k 2
		iptables -S; ip6tables -S; apt-mark showhold; dpkg --get-selections`)
}

// The agent is killed at every effect of a first run, and of a teardown that leaves the packages, on hosts that had
// the packages and configurations of their own. The next run, or teardown, finishes; the host is then as it must be.
func TestKilledInFirstRunAndTeardown(t *testing.T) {
	w := newWorld(t)
	const parts = 4
	hosts := w.hosts(true, lab.Trixie, lab.Trixie, lab.Trixie, lab.Trixie)
	points := make(chan [2]int, parts)
	t.Run("hosts", func(t *testing.T) {
		for part, h := range hosts {
			t.Run(h.Name(), func(t *testing.T) {
				t.Parallel()
				h := h.in(t)
				h.writeSpec(h.ownVIP(specOf()))
				bare := h.state()
				teardown := func() {
					if code, out := h.code("teardown", "--keep-packages"); code != 0 {
						t.Fatalf("teardown: exit code %d\n%s", code, out)
					}
				}
				h.must(agent, "--once")
				there := h.state()
				teardown()
				same := func(at, have, want string) {
					if have != want {
						t.Fatalf("after %s the host is not as without a kill:\n%s", at, difference(want, have))
					}
				}
				same("a teardown", h.state(), bare)
				first := killing{h: h, args: []string{"--once"}, sparse: true, shard: part, shards: parts, after: func(at string) {
					h.converges(at)
					same(at, h.state(), there)
				}}
				last := killing{h: h, args: []string{"teardown", "--keep-packages"}, sparse: true, shard: part, shards: parts, after: func(at string) {
					teardown()
					same(at, h.state(), bare)
				}}
				// each leaves what the other begins with
				firsts, lasts := first.points(), last.points()
				for i := range max(len(firsts), len(lasts)) {
					if i < len(firsts) {
						first.at(firsts[i])
					} else {
						h.must(agent, "--once")
					}
					if i < len(lasts) {
						last.at(lasts[i])
					} else {
						teardown()
					}
				}
				first.noMore()
				last.noMore()
				points <- [2]int{len(firsts), len(lasts)}
			})
		}
	})
	close(points)
	var sum [2]int
	for p := range points {
		sum[0] += p[0]
		sum[1] += p[1]
	}
	row(t, fmt.Sprintf("agent killed at %d points of a first run", sum[0]), lab.Report{}, "killed", "converged, the host the same as without a kill")
	row(t, fmt.Sprintf("agent killed at %d points of a teardown", sum[1]), lab.Report{}, "killed", "teardown finished, the host as before the first run")
}

// difference are the lines that only one of two texts has.
func difference(before, after string) string {
	count := map[string]int{}
	for line := range strings.Lines(before) {
		count[line]--
	}
	for line := range strings.Lines(after) {
		count[line]++
	}
	var b strings.Builder
	for line := range strings.Lines(before + after) {
		switch n := count[line]; {
		case n < 0:
			b.WriteString("- " + line)
		case n > 0:
			b.WriteString("+ " + line)
		}
		delete(count, line)
	}
	return b.String()
}
