package observe

import (
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// systemd really has what the unit asks for, and the daemon still brings an edit into force in there.
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
	}
	w.Serves("cp1", "cp2", "cp3")
}
