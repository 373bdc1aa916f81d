package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
)

// status is what the agent says of the host now; the file is what the daemon said last.
func (h *host) status() (s status.Status, code int) {
	h.w.Helper()
	code, out := h.code("status", "-o", "json")
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		h.w.Fatalf("%s: %v\n%s", h.Name(), err, out)
	}
	return s, code
}

func (h *host) statusFile() (s status.Status) {
	data, err := h.ReadFile(state.StatusFile)
	if err == nil {
		_ = json.Unmarshal(data, &s)
	}
	return s
}

// fetch asks for a page from this host, with nothing but a shell, and returns the whole answer.
func (h *host) fetch(address, path, name string) string {
	at, port, _ := strings.Cut(address, ":")
	out, _ := h.Run(h.w.Context(), "bash", "-c",
		fmt.Sprintf(`exec 3<>/dev/tcp/%s/%s && printf 'GET %s HTTP/1.1\r\nHost: %s\r\n\r\n' >&3 && cat <&3`, at, port, path, name))
	return out
}

// The status and the metrics of a real pair, through a failover, a refused spec and a drain.
func TestStatus(t *testing.T) {
	w := newWorld(t)
	text := specOf(nodes, "metadata: {name: prod}", "metrics: {address: '0.0.0.0:9345', textfile: /run/rlb.prom}", "web: {address: '127.0.0.1:8345'}")
	active, standby := w.pair(text, lab.Trixie, lab.Bookworm)
	withDaemon(active, standby)
	w.eventually("both are ready, and shown", 15*time.Second, func() bool {
		return active.statusFile().Is("Ready") && standby.statusFile().Is("Ready") &&
			strings.Contains(active.fetch("127.0.0.1:9345", "/metrics", "x"), "rlb_role")
	})

	for h, role := range map[*host]string{active: "MASTER", standby: "BACKUP"} {
		began := time.Now()
		s, code := h.status()
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

	// over the network, on loopback, and as a file
	metrics := standby.fetch(active.Addr().String()+":9345", "/metrics", active.Addr().String()+":9345")
	for _, want := range []string{"HTTP/1.1 200 OK", `rlb_role{role="MASTER"} 1`, `rlb_virtual_ip_held{address="198.51.100.100"} 1`,
		`rlb_server_up{service="kube-apiserver",server="cp1"} 1`, "rlb_peer_seen{", "process_resident_memory_bytes "} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %q in the metrics:\n%s", want, metrics)
		}
	}
	if page := active.fetch("127.0.0.1:8345", "/", "localhost:8345"); !strings.Contains(page, "MASTER") || !strings.Contains(page, "200 OK") {
		t.Errorf("page: %s", page)
	}
	for address, path := range map[string]string{"127.0.0.1:8345": "/", "127.0.0.1:9345": "/metrics"} {
		if page := active.fetch(address, path, "evil.example"); !strings.Contains(page, "403 Forbidden") || strings.Contains(page, "MASTER") {
			t.Errorf("%s under another name: %s", address, page)
		}
	}
	if text := active.sh("cat /run/rlb.prom"); !strings.Contains(text, `rlb_role{role="MASTER"} 1`) {
		t.Errorf("text file: %s", text)
	}

	// a failover, by somebody who stops HAProxy: both status files follow, and say why
	began := time.Now()
	active.sh("systemctl stop haproxy")
	w.eventually("the standby's status file says MASTER", 3*time.Second, func() bool { return standby.statusFile().Role == "MASTER" })
	t.Logf("the status file followed the failover after %v", time.Since(began).Round(time.Millisecond))
	if s := standby.statusFile(); !strings.Contains(s.RoleReason, "took over") || !s.VirtualIPs[0].Held {
		t.Errorf("the new active: %q, %+v", s.RoleReason, s.VirtualIPs)
	}
	w.eventually("the drift is repaired and told", 15*time.Second, func() bool {
		s := active.statusFile()
		return s.Drift.Found == 1 && s.Drift.Repaired == 1 && s.Is("Ready") && s.Role == "BACKUP"
	})
	active, standby = standby, active
	w.eventually("the scrapes follow", 3*time.Second, func() bool {
		return strings.Contains(standby.fetch("127.0.0.1:9345", "/metrics", "x"), `rlb_role{role="BACKUP"} 1`) &&
			strings.Contains(active.fetch("127.0.0.1:9345", "/metrics", "x"), `rlb_role{role="MASTER"} 1`)
	})
	if text := standby.fetch("127.0.0.1:9345", "/metrics", "x"); !strings.Contains(text, "rlb_drift_repaired_total 1\n") || strings.Contains(text, "rlb_role_transitions_total 0\n") {
		t.Errorf("after the failover: %s", text)
	}

	// a spec that is refused
	generation := active.statusFile().Generation
	synced := active.statusFile().Condition("InSync").LastTransitionTime
	active.writeSpec(text + "proxi: {}\n")
	w.eventually("the refusal is told", 5*time.Second, func() bool { return active.statusFile().Condition("SpecValid").Status == "False" })
	s, code := active.status()
	if code != 1 || s.Is("Ready") || !s.Is("Serving") || !s.Is("InSync") || s.Generation != generation+1 || s.ObservedGeneration != generation ||
		!strings.Contains(s.Condition("SpecValid").Message, `did you mean "proxy"`) || s.LastReconcile.Result != status.Refused {
		t.Errorf("refused: exit code %d, %+v, last %+v", code, s, s.LastReconcile)
	}
	if text := active.fetch("127.0.0.1:9345", "/metrics", "x"); !strings.Contains(text, "rlb_spec_valid 0\n") || !strings.Contains(text, `rlb_reconciles_total{result="Refused"} 1`) {
		t.Errorf("refused: %s", text)
	}
	active.sh("systemctl restart rlb-agent") // which forgets nothing of that
	active.writeSpec(text)
	w.eventually("the good spec is told", 10*time.Second, func() bool { return active.statusFile().Is("Ready") })
	if at := active.statusFile().Condition("InSync").LastTransitionTime; !at.Equal(synced) {
		t.Errorf("InSync changed at %v, was %v", at, synced)
	}

	// drained is no failure
	standby.sh(agent + " drain")
	if s, code := standby.status(); code != 0 || !s.Drained || s.Condition("Ready").Reason != "Drained" || s.Role != "FAULT" || !strings.Contains(s.RoleReason, "drained") {
		t.Errorf("drained: exit code %d, %+v", code, s)
	}
	standby.sh(agent + " undrain")

	// nobody is shown what nobody keeps true
	standby.sh("systemctl stop rlb-agent")
	if out := standby.fetch("127.0.0.1:9345", "/metrics", "x") + standby.sh("ls /run"); strings.Contains(out, "rlb_") || strings.Contains(out, "rlb.prom") {
		t.Errorf("after the end of the agent: %s", out)
	}
	standby.Crash()
	w.eventually("the active host misses its peer", 5*time.Second, func() bool {
		s, _ := active.status()
		return s.Peers[0].State == status.PeerNotSeen
	})
}
