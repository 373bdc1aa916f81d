package observe

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
)

func statusFile(h *e2e.Host) (s status.Status) {
	data, err := h.ReadFile(state.StatusFile)
	if err == nil {
		_ = json.Unmarshal(data, &s)
	}
	return s
}

// fetch requests a page from this host, with a shell only, and returns the whole answer.
func fetch(h *e2e.Host, address, path, name string) string {
	at, port, _ := strings.Cut(address, ":")
	out, _ := h.Run(h.World.Context(), "bash", "-c",
		fmt.Sprintf(`exec 3<>/dev/tcp/%s/%s && printf 'GET %s HTTP/1.1\r\nHost: %s\r\n\r\n' >&3 && cat <&3`, at, port, path, name))
	return out
}

// textfile is a file in the directory that Debian's node exporter reads. The user prometheus owns the directory above.
const textfile = "/var/lib/prometheus/node-exporter/rlb.prom"

// TestStatus: the status and the metrics of a real pair, through a failover, a refused spec and a drain.
func TestStatus(t *testing.T) {
	w := e2e.New(t)
	text := e2e.Spec(pair.Nodes, "metadata: {name: prod}", "metrics: {address: '0.0.0.0:9345', textfile: "+textfile+"}", "web: {address: '127.0.0.1:8345'}")
	active, standby := w.Pair(text, lab.Trixie, lab.Bookworm)
	for _, h := range []*e2e.Host{active, standby} {
		h.Shell("mkdir -p " + filepath.Dir(textfile) + " && chown 120:120 /var/lib/prometheus") // as the package prometheus-node-exporter
	}
	e2e.StartDaemon(active, standby)
	w.Eventually("both are ready, and shown", 15*time.Second, func() bool {
		return statusFile(active).Is("Ready") && statusFile(standby).Is("Ready") &&
			strings.Contains(fetch(active, "127.0.0.1:9345", "/metrics", "x"), "rlb_role")
	})

	for h, role := range map[*e2e.Host]string{active: "MASTER", standby: "BACKUP"} {
		began := time.Now()
		s, code := h.Status()
		took := time.Since(began)
		reason := map[string]string{"MASTER": "Active", "BACKUP": "StandingBy"}[role]
		if code != 0 || string(s.Role) != role || s.Node != h.Name() || s.RoleSince.IsZero() || s.Condition("Serving").Reason != reason || len(s.NotSeen) > 0 {
			t.Errorf("%s: exit code %d, %+v", h.Name(), code, s)
		}
		if len(s.Peers) != 1 || s.Peers[0].State != status.PeerSeen || s.Peers[0].Name == h.Name() {
			t.Errorf("%s: peers %+v", h.Name(), s.Peers)
		}
		if len(s.Services) != 1 || !s.Services[0].Listening || len(s.Services[0].Servers) != 3 || !strings.Contains(s.Services[0].Servers[0].Reason, "L7OK 200") {
			t.Errorf("%s: services %+v", h.Name(), s.Services)
		}
		if s.Versions.HAProxy == "" || s.Versions.Keepalived == "" || s.HAProxy == nil || s.HAProxy.State != "answers" {
			t.Errorf("%s: %+v, %+v", h.Name(), s.Versions, s.HAProxy)
		}
		t.Logf("%s: status in %v", h.Name(), took.Round(time.Millisecond))
		if took > 500*time.Millisecond {
			t.Errorf("%s: status took %v", h.Name(), took)
		}
	}

	// keepalived 2.2 logs each query: nine looks query it twice at most, and the daemon may query it meanwhile
	questions := func() int {
		n, err := strconv.Atoi(strings.TrimSpace(standby.Shell("journalctl -u keepalived | grep -c 'Printing VRRP'")))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := questions()
	standby.Shell("timeout -s INT 9 " + pair.Agent + " status --watch >/dev/null || true")
	if n := questions() - before; n > 4 {
		t.Errorf("keepalived was asked %d times in 9 s of status --watch", n)
	}
	w.Eventually("a status shows what keepalived told more than 6 s ago, and leaves no line in its log", 40*time.Second, func() bool {
		before := questions()
		s, _ := standby.Status()
		return string(s.Role) == "BACKUP" && time.Since(s.RoleSeen) > 6*time.Second && questions() == before
	})

	// over the network, on loopback, and as a file
	metrics := fetch(standby, active.Addr().String()+":9345", "/metrics", active.Addr().String()+":9345")
	for _, want := range []string{"HTTP/1.1 200 OK", `rlb_role{role="MASTER"} 1`, `rlb_virtual_ip_held{address="198.51.100.100"} 1`,
		`rlb_server_up{service="kube-apiserver",server="cp1"} 1`, "rlb_peer_seen{", "process_resident_memory_bytes "} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %q in the metrics:\n%s", want, metrics)
		}
	}
	if page := fetch(active, "127.0.0.1:8345", "/", "localhost:8345"); !strings.Contains(page, "MASTER") || !strings.Contains(page, "200 OK") {
		t.Errorf("page: %s", page)
	}
	for address, path := range map[string]string{"127.0.0.1:8345": "/", "127.0.0.1:9345": "/metrics"} {
		if page := fetch(active, address, path, "evil.example"); !strings.Contains(page, "403 Forbidden") || strings.Contains(page, "MASTER") {
			t.Errorf("%s under another name: %s", address, page)
		}
	}
	if text := active.Shell("cat " + textfile); !strings.Contains(text, `rlb_role{role="MASTER"} 1`) {
		t.Errorf("text file: %s", text)
	}

	// a failover, because HAProxy was stopped: both status files follow, with the reason
	began := time.Now()
	active.Shell("systemctl stop haproxy")
	w.Eventually("the standby's status file says MASTER", 3*time.Second, func() bool { return statusFile(standby).Role == "MASTER" })
	t.Logf("the status file followed the failover after %v", time.Since(began).Round(time.Millisecond))
	if s := statusFile(standby); !strings.Contains(s.RoleReason, "took over") || !s.VirtualIPs[0].Held {
		t.Errorf("the new active: %q, %+v", s.RoleReason, s.VirtualIPs)
	}
	w.Eventually("the drift is repaired and reported", 15*time.Second, func() bool {
		s := statusFile(active)
		return s.Drift.Found == 1 && s.Drift.Repaired == 1 && s.Is("Ready") && s.Role == "BACKUP"
	})
	active, standby = standby, active
	w.Eventually("the scrapes follow", 3*time.Second, func() bool {
		return strings.Contains(fetch(standby, "127.0.0.1:9345", "/metrics", "x"), `rlb_role{role="BACKUP"} 1`) &&
			strings.Contains(fetch(active, "127.0.0.1:9345", "/metrics", "x"), `rlb_role{role="MASTER"} 1`)
	})
	if text := fetch(standby, "127.0.0.1:9345", "/metrics", "x"); !strings.Contains(text, "rlb_drift_repaired_total 1\n") || strings.Contains(text, "rlb_role_transitions_total 0\n") {
		t.Errorf("after the failover: %s", text)
	}

	// a refused spec
	generation := statusFile(active).Generation
	synced := statusFile(active).Condition("InSync").LastTransitionTime
	active.WriteSpec(text + "proxi: {}\n")
	w.Eventually("the refusal is reported", 5*time.Second, func() bool { return statusFile(active).Condition("SpecValid").Status == "False" })
	s, code := active.Status()
	if code != 1 || s.Is("Ready") || !s.Is("Serving") || !s.Is("InSync") || s.Generation != generation+1 || s.ObservedGeneration != generation ||
		!strings.Contains(s.Condition("SpecValid").Message, `did you mean "proxy"`) || s.LastReconcile.Result != status.Refused {
		t.Errorf("refused: exit code %d, %+v, last %+v", code, s, s.LastReconcile)
	}
	if text := fetch(active, "127.0.0.1:9345", "/metrics", "x"); !strings.Contains(text, "rlb_spec_valid 0\n") || !strings.Contains(text, `rlb_reconciles_total{result="Refused"} 1`) {
		t.Errorf("refused: %s", text)
	}
	active.Shell("systemctl restart rlb-agent") // a restarted agent keeps all this
	active.WriteSpec(text)
	w.Eventually("the good spec is in force", 10*time.Second, func() bool { return statusFile(active).Is("Ready") })
	if at := statusFile(active).Condition("InSync").LastTransitionTime; !at.Equal(synced) {
		t.Errorf("InSync changed at %v, was %v", at, synced)
	}

	// drained is not a failure
	standby.Shell(pair.Agent + " drain")
	if s, code := standby.Status(); code != 0 || !s.Drained || s.Condition("Ready").Reason != "Drained" || s.Role != "FAULT" || !strings.Contains(s.RoleReason, "drained") {
		t.Errorf("drained: exit code %d, %+v", code, s)
	}
	standby.Shell(pair.Agent + " undrain")

	// without the daemon there are no metrics and no text file
	standby.Shell("systemctl stop rlb-agent")
	if out := fetch(standby, "127.0.0.1:9345", "/metrics", "x") + standby.Shell("ls "+filepath.Dir(textfile)); strings.Contains(out, "rlb_") || strings.Contains(out, "rlb.prom") {
		t.Errorf("after the end of the agent: %s", out)
	}
	standby.Crash()
	w.Eventually("the active host misses its peer", 5*time.Second, func() bool {
		s, _ := active.Status()
		return s.Peers[0].State == status.PeerNotSeen
	})
}
