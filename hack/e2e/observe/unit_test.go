package observe

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// TestUnitSandbox: systemd applies all of the unit's sandbox settings, and the daemon still brings an edit into force
// inside, and tries new health checks before it does.
func TestUnitSandbox(t *testing.T) {
	w := e2e.New(t)
	a, b := w.Pair(e2e.Spec(pair.Nodes), lab.Bookworm, lab.Trixie)
	e2e.StartDaemon(a, b)
	for _, h := range []*e2e.Host{a, b} {
		properties := h.Must("systemctl", "show", "rlb-agent", "-p",
			"UMask,MemoryMax,TasksMax,LimitCORE,PrivateMounts,PrivateTmp,NoNewPrivileges,ProtectSystem,PrivateDevices,RestrictSUIDSGID,MemoryDenyWriteExecute")
		for _, want := range []string{"UMask=0077", "MemoryMax=2147483648", "TasksMax=512", "LimitCORE=0", "PrivateMounts=yes", "PrivateTmp=yes",
			"NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateDevices=yes", "RestrictSUIDSGID=yes", "MemoryDenyWriteExecute=no"} {
			if !strings.Contains(properties+"\n", want+"\n") {
				t.Errorf("%s: no %s in:\n%s", h.Name(), want, properties)
			}
		}
		score := h.Must("systemd-analyze", "security", "--no-pager", "rlb-agent")
		lines := strings.Split(strings.TrimSpace(score), "\n")
		t.Logf("%s: %s", h.Name(), lines[len(lines)-1])
		if !strings.Contains(score, " OK ") {
			t.Errorf("%s: systemd-analyze security:\n%s", h.Name(), score)
		}

		// haproxy -c runs in the sandbox, with PCRE2's JIT
		h.WriteSpec(e2e.Spec(pair.Nodes, "proxy: {extraDefaults: [option tcpka]}"))
		w.Eventually("an edit comes into force on "+h.Name(), 15*time.Second, func() bool {
			return strings.Contains(h.Shell("cat /etc/haproxy/haproxy.cfg"), "option tcpka")
		})
		h.WriteSpec(strings.Replace(e2e.Spec(pair.Nodes), "\n  port: 9000\n", "\n  port: 9000\n  extraFrontend: ['acl odd req.ssl_sni -m reg ^a.*b$', 'tcp-request content reject if odd']\n", 1))
		w.Eventually("a regular expression comes into force on "+h.Name(), 15*time.Second, func() bool {
			return strings.Contains(h.Shell("cat /etc/haproxy/haproxy.cfg"), "-m reg ^a.*b$")
		})

		// a second HAProxy checks the servers in the sandbox, so a health check that takes all of them out is found before a reload
		h.Converges("the edits")
		workers := h.Shell("pgrep -x haproxy")
		sick := strings.Replace(e2e.Spec(pair.Nodes), "  port: 9000\n", "  port: 9000\n  healthCheck: {type: https, path: /readyz, expectStatus: [404], interval: 500ms, fall: 1}\n", 1)
		h.WriteSpec(sick)
		w.Eventually("a health check that takes every server out is refused on "+h.Name(), 20*time.Second, func() bool {
			return strings.Contains(h.Shell("journalctl -b --no-pager -o cat -u rlb-agent"), "no server of kube-apiserver is up, but before the change one was")
		})
		if after := h.Shell("pgrep -x haproxy"); after != workers {
			t.Errorf("%s: HAProxy was reloaded for it: its processes were %q, and are %q", h.Name(), workers, after)
		}
		h.WriteSpec(e2e.Spec(pair.Nodes))
		h.Converges("the refused edit")
	}
	w.Serves("cp1", "cp2", "cp3")
}

// TestUnitMemory: the daemon, HAProxy's check of a file and its rehearsal stay within the unit's memory limit, even
// with the most servers: with RLB_MOST_SERVERS=all 100,000, else a fifth of them with a fifth of the limit.
func TestUnitMemory(t *testing.T) {
	const most = 100_000
	n := most / 5
	if os.Getenv("RLB_MOST_SERVERS") == "all" {
		n = most
	}
	w := e2e.New(t)
	h := w.Hosts(true, lab.Trixie)[0]
	h.Apply(e2e.Spec())
	e2e.StartDaemon(h)
	w.Eventually("it holds the virtual IP", 10*time.Second, h.Active)
	w.Eventually("its servers are up", 10*time.Second, func() bool { return strings.Count(h.HAProxy("show stat"), ",UP,") >= 3 })

	// the checks of all servers of the first service change; otherwise there is nothing to rehearse
	var b strings.Builder
	b.WriteString(e2e.Spec())
	b.WriteString("  healthCheck: {type: tcp}\n")
	for i := range n {
		if i%10_000 == 0 {
			fmt.Fprintf(&b, "- name: s%d\n  port: %d\n  healthCheck: {type: none}\n  servers:\n", i/10_000, 2000+i/10_000)
		}
		fmt.Fprintf(&b, "  - {name: n%d, address: 10.%d.%d.%d, port: 8080}\n", i, 1+i/40_000, i/200%200, i%200+1)
	}
	var allowed, needed, checks, rehearsals int
	if _, err := fmt.Sscan(h.Must("systemctl", "show", "--value", "-p", "MemoryMax", "rlb-agent"), &allowed); err != nil {
		t.Fatal(err)
	}
	sampled := make(chan string, 1)
	go func() { // the memory of the agent and its children in KiB, until the file exists
		out, _ := h.Sh(t.Context(), `main=$(systemctl show --value -p MainPID rlb-agent)
			until test -e /run/enough; do ps -ww -eo pid=,ppid=,rss=,args=; echo end; sleep 0.02; done | awk -v main=$main '
				$1 == main || $2 == main {sum += $3}
				$2 == main && / -c / {checks++}
				$2 == main && / -db / {rehearsals++}
				/^end/ {if (sum > most) most = sum; sum = 0}
				END {print most + 0, checks + 0, rehearsals + 0}'`)
		sampled <- out
	}()
	began := time.Now()
	h.WriteSpec(b.String())
	w.Eventually("the servers are in force", 10*time.Minute, func() bool {
		out, _ := h.Sh(w.Context(), "grep -c '^ *server ' /etc/haproxy/haproxy.cfg")
		return strings.TrimSpace(out) == fmt.Sprint(n+3) && strings.Contains(h.Shell("systemctl show --value -p StatusText rlb-agent"), "in sync with")
	})
	took := time.Since(began).Round(time.Second)
	h.Shell("touch /run/enough")
	if out := <-sampled; out == "" {
		t.Error("nothing was sampled")
	} else if _, err := fmt.Sscan(out, &needed, &checks, &rehearsals); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	t.Logf("%d servers: %d MiB of %d, in force after %v; seen %d times in a check, %d times in a rehearsal", n, needed>>10, allowed>>20, took, checks, rehearsals)
	if share := allowed >> 10 / (most / n); needed > share || checks == 0 || rehearsals == 0 {
		t.Errorf("it needed %d KiB, at most %d; seen %d times in a check, %d times in a rehearsal", needed, share, checks, rehearsals)
	}
	if restarts := strings.TrimSpace(h.Must("systemctl", "show", "--value", "-p", "NRestarts", "rlb-agent")); restarts != "0" {
		t.Errorf("the daemon was started again %s times", restarts)
	}
	h.WriteSpec(e2e.Spec())
	w.Eventually("they are gone", time.Minute, func() bool { return h.Succeeds("! grep -q 10.1.0.1 /etc/haproxy/haproxy.cfg") })
	w.Serves("cp1", "cp2", "cp3")
}
