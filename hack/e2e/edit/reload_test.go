package edit

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// loadSpec leads to the API servers, and on port 9001 to their NamePort, whose connections cost little.
func loadSpec(more ...string) string {
	var servers strings.Builder
	for i := range 3 {
		fmt.Fprintf(&servers, "  - {name: cp%d, address: 198.51.100.%d, port: %d}\n", i+1, 21+i, lab.NamePort)
	}
	return e2e.Spec("- name: names", "  port: 9001", "  servers:", servers.String()+strings.Join(more, "\n"))
}

// workers counts HAProxy's worker processes: the one that serves, and old ones with remaining connections.
func workers(h *e2e.Host) int {
	return strings.Count(h.Shell("pgrep -P $(systemctl show --value -p MainPID haproxy)"), "\n")
}

// TestReloadUnderLoad: HAProxy is reloaded repeatedly under load: no connection fails, and long idle ones stay.
// hack/bench/failover does the same a hundred times, with 2000 connections a second. Old workers end at hardStopAfter.
func TestReloadUnderLoad(t *testing.T) {
	const reloads, long = 20, 50
	w := e2e.New(t)
	h := w.Hosts(true, lab.Trixie)[0]
	h.Apply(loadSpec())
	w.Eventually("the host is active", 5*time.Second, h.Active)
	w.Serves("cp1", "cp2", "cp3")

	var quiet []*lab.LongConn
	for range long {
		conn, err := w.Client.LongConn(t.Context(), pair.Service)
		if err != nil {
			t.Fatal(err)
		}
		quiet = append(quiet, conn)
	}
	load, err := w.Client.Probe(pair.VIP+":9001", lab.ProbeOptions{Interval: time.Millisecond, Timeout: time.Second, Name: true})
	if err != nil {
		t.Fatal(err)
	}
	for range reloads {
		h.Must("systemctl", "reload", "haproxy")
	}
	report := load.Stop()
	t.Logf("%d reloads: %d connections, %d failed, gap %v, itself late by %v, %v", reloads, report.Total, report.Failed, report.Gap, report.Late, report.Errors)
	if report.Failed > 0 || report.Total < 1000 || len(report.ByServer) != 3 {
		t.Errorf("%d of %d connections failed: %v, %v", report.Failed, report.Total, report.Errors, report.ByServer)
	}
	for _, conn := range quiet {
		conn.Poke()
	}
	for _, conn := range quiet {
		if _, cut, err := conn.Cut(); cut {
			t.Fatalf("a quiet connection was cut by a reload: %v", err)
		}
	}
	// the worker before the last reload may still be ending its last connection
	w.Eventually("the one that serves and the one with the quiet connections are the only workers", 5*time.Second, func() bool { return workers(h) == 2 })
	if out := h.Must(pair.Agent, "status"); !strings.Contains(out, "1 old process finishes its connections") {
		t.Errorf("the status does not show the old worker:\n%s", out)
	}

	// a worker ends with its last connection, or at its hardStopAfter
	for _, conn := range quiet[1:] {
		conn.Close()
	}
	h.Apply(loadSpec("proxy:", "  hardStopAfter: 2s"))
	last, err := w.Client.LongConn(t.Context(), pair.Service)
	if err != nil {
		t.Fatal(err)
	}
	h.Must("systemctl", "reload", "haproxy")
	start := time.Now()
	w.Eventually("the worker with a quiet connection ends", 5*time.Second, func() bool { _, cut, _ := last.Cut(); return cut })
	if lived := time.Since(start); lived < time.Second {
		t.Errorf("the old worker lived for %v only", lived)
	}
	if _, cut, err := quiet[0].Cut(); cut {
		t.Errorf("a worker from before the edit has the bound from before it: %v", err)
	}
	if n := workers(h); n != 2 {
		t.Errorf("%d workers left", n)
	}
}
