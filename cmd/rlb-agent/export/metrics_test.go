package export

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/status"
)

var sampleLine = regexp.MustCompile(`^([a-zA-Z_][a-zA-Z0-9_]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+)$`)

// scraped parses an exposition strictly: every sample follows the HELP and TYPE of its family, and none occurs twice.
func scraped(t *testing.T, text string) map[string]float64 {
	t.Helper()
	values := map[string]float64{}
	family, seen := "", map[string]bool{}
	lines := strings.Split(text, "\n")
	if lines[len(lines)-1] != "" {
		t.Error("the last line has no end")
	}
	for i, line := range lines[:len(lines)-1] {
		words := strings.SplitN(line, " ", 4)
		switch {
		case words[0] == "#" && words[1] == "HELP":
			if family = words[2]; seen[family] {
				t.Errorf("family %s twice", family)
			}
			seen[family] = true
		case words[0] == "#" && words[1] == "TYPE":
			if words[2] != family || !strings.HasPrefix(lines[i-1], "# HELP ") {
				t.Errorf("line %d: %q is out of place", i, line)
			}
			if total := strings.HasSuffix(family, "_total"); total != (words[3] == counter) {
				t.Errorf("%s is a %s", family, words[3])
			}
		default:
			m := sampleLine.FindStringSubmatch(line)
			if m == nil {
				t.Fatalf("line %d: cannot read %q", i, line)
			}
			name := m[1]
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				name = strings.TrimSuffix(name, suffix)
			}
			if name != family {
				t.Errorf("%s stands below %s", m[1], family)
			}
			value, err := strconv.ParseFloat(m[3], 64)
			series := m[1] + "{" + m[2] + "}"
			if _, twice := values[series]; err != nil || twice {
				t.Errorf("%s: %v, twice %t", series, err, twice)
			}
			values[series] = value
		}
	}
	return values
}

func TestExposition(t *testing.T) {
	var counts runs
	for _, run := range []struct {
		result status.Outcome
		took   time.Duration
	}{{status.Converged, 45 * time.Millisecond}, {status.Changed, 800 * time.Millisecond}, {status.Refused, 0}, {status.Failed, time.Hour}} {
		counts.count(run.result, run.took, now)
	}
	x := new(exposition)
	exposeStatus(x, example(t), 3)
	counts.expose(x)
	exposeProcess(x)
	got := scraped(t, x.String())
	for series, want := range map[string]float64{
		`rlb_spec_generation{}`:          4,
		`rlb_spec_observed_generation{}`: 3,
		`rlb_spec_valid{}`:               0,
		`rlb_spec_info{name="prod",node="lb1",virtual_ip="198.51.100.100",digest="abababababab"}`: 1,
		`rlb_role{role="MASTER"}`:                                                               1,
		`rlb_role{role="BACKUP"}`:                                                               0,
		`rlb_role{role="UNKNOWN"}`:                                                              0,
		`rlb_role_since_timestamp_seconds{}`:                                                    float64(now.Unix() - 7),
		`rlb_role_transitions_total{}`:                                                          3,
		`rlb_drained{}`:                                                                         0,
		`rlb_virtual_ip_held{address="198.51.100.100"}`:                                         1,
		`rlb_virtual_ip_held{address="2001:db8::100"}`:                                          0,
		`rlb_peer_seen{peer="lb2",address="198.51.100.12"}`:                                     0,
		`rlb_advertisement_interval_seconds{}`:                                                  0.02,
		`rlb_advertisement_gap_allowed_seconds{}`:                                               0.0602,
		`rlb_advertisement_gap_worst_seconds{}`:                                                 0.031,
		`rlb_advertisement_interval_recommended_seconds{}`:                                      0.02,
		`rlb_timer_lateness_worst_seconds{}`:                                                    0.0014,
		`rlb_haproxy_state{state="answers"}`:                                                    1,
		`rlb_haproxy_state{state="hung"}`:                                                       0,
		`rlb_haproxy_old_workers{}`:                                                             1,
		`rlb_service_listening{service="kube-apiserver"}`:                                       1,
		`rlb_server_up{service="kube-apiserver",server="cp1"}`:                                  1,
		`rlb_server_up{service="kube-apiserver",server="second"}`:                               0,
		`rlb_server_state{state="UP",service="kube-apiserver",server="cp1"}`:                    1,
		`rlb_server_state{state="DOWN",service="kube-apiserver",server="second"}`:               1,
		`rlb_service_fail_open{service="kube-apiserver"}`:                                       0,
		`rlb_condition{status="True",type="InSync"}`:                                            1,
		`rlb_condition{status="False",type="Ready"}`:                                            1,
		`rlb_condition{status="Unknown",type="Ready"}`:                                          0,
		`rlb_drift_found_total{}`:                                                               2,
		`rlb_drift_repaired_total{}`:                                                            1,
		`rlb_held_back_packages{security="true"}`:                                               1,
		`rlb_held_back_packages{security="false"}`:                                              0,
		`rlb_reconciles_total{result="Converged"}`:                                              1,
		`rlb_reconciles_total{result="RolledBack"}`:                                             0,
		`rlb_reconcile_duration_seconds_bucket{le="0.05"}`:                                      2,
		`rlb_reconcile_duration_seconds_bucket{le="1"}`:                                         3,
		`rlb_reconcile_duration_seconds_bucket{le="300"}`:                                       3,
		`rlb_reconcile_duration_seconds_bucket{le="+Inf"}`:                                      4,
		`rlb_reconcile_duration_seconds_count{}`:                                                4,
		`rlb_reconcile_duration_seconds_sum{}`:                                                  3600.845,
		`rlb_reconcile_last_success_timestamp_seconds{}`:                                        float64(now.Unix()),
		`rlb_held_back_package_info{package="haproxy",version="2.6.12-1",candidate="2.6.12-2"}`: 1,
	} {
		if value, there := got[series]; !there || value != want {
			t.Errorf("%s is %v (there: %t), want %v", series, value, there, want)
		}
	}
	for _, series := range []string{"process_resident_memory_bytes{}", "process_open_fds{}", "process_start_time_seconds{}"} {
		if got[series] <= 0 {
			t.Errorf("%s is %v", series, got[series])
		}
	}
	if memory := got["process_resident_memory_bytes{}"]; memory < 1<<20 || memory > 1<<31 {
		t.Errorf("%v bytes of memory", memory)
	}
	promtool(t, x.String(), "check", "metrics")
}

// TestServerStates: a server has the state that HAProxy reports, as in the status; fail open is exported too.
func TestServerStates(t *testing.T) {
	for said, want := range map[string]string{
		"UP": "UP", "UP 1/3": "UP", "no check": "UP", "DOWN": "DOWN", "DOWN 1/2": "DOWN", "NOLB": "NOLB", "NOLB 1/3": "NOLB", "DRAIN": "DRAIN", "DRAIN (agent)": "DRAIN",
		"MAINT": "MAINT", "MAINT (resolution)": "MAINT", host.ServerUnknown: "UNKNOWN",
	} {
		s := example(t)
		s.Services[0].Servers[0].State, s.Services[0].FailOpen = said, true
		x := new(exposition)
		exposeStatus(x, s, 0)
		got := scraped(t, x.String())
		for _, state := range serverStates {
			series := fmt.Sprintf(`rlb_server_state{state=%q,service="kube-apiserver",server="cp1"}`, state)
			if value, there := got[series]; there != (state == want) || there && value != 1 {
				t.Errorf("%s: %s is %v (there: %t)", said, series, value, there)
			}
		}
		if got[`rlb_service_fail_open{service="kube-apiserver"}`] != 1 {
			t.Error("failing open is not told")
		}
	}
}

// TestServerThatDrains: for a server that drains, the metrics have the wrong HTTP status and the time when its
// connections are cut; other servers have no such time.
func TestServerThatDrains(t *testing.T) {
	s := example(t)
	cp1 := &s.Services[0].Servers[0]
	cp1.State, cp1.HTTPStatus, cp1.CutAt = "NOLB", 500, now.Add(41*time.Second)
	x := new(exposition)
	exposeStatus(x, s, 0)
	got, count := scraped(t, x.String()), 0
	for series, want := range map[string]float64{
		`rlb_server_check_http_status{service="kube-apiserver",server="cp1"}`:     500,
		`rlb_server_cut_timestamp_seconds{service="kube-apiserver",server="cp1"}`: float64(now.Unix() + 41),
	} {
		if got[series] != want {
			t.Errorf("%s is %v, want %v", series, got[series], want)
		}
	}
	for series := range got {
		if strings.HasPrefix(series, "rlb_server_check_http_status") || strings.HasPrefix(series, "rlb_server_cut") {
			count++
		}
	}
	if count != 2 {
		t.Errorf("%d such series, want those of cp1", count)
	}
	promtool(t, x.String(), "check", "metrics")
}

// TestExpositionOfNothing: unknown values are omitted: no series is better than a wrong one.
func TestExpositionOfNothing(t *testing.T) {
	x := new(exposition)
	exposeStatus(x, status.Status{}, 0)
	if got := scraped(t, x.String()); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	s := example(t)
	s.HAProxy, s.Peers, s.RoleSince = nil, []status.Peer{{Name: "lb2", State: status.PeerUnknown}}, time.Time{}
	x = new(exposition)
	exposeStatus(x, s, 0)
	for series := range scraped(t, x.String()) {
		for _, unknown := range []string{"rlb_peer_seen", "rlb_server_", "rlb_service_fail_open", "rlb_haproxy_state", "rlb_role_since"} {
			if strings.HasPrefix(series, unknown) {
				t.Errorf("told: %s", series)
			}
		}
	}
}

// TestPeersOfOneName: without nodes in the spec, two peers can have the same host name: a machine that was replaced, which said
// goodbye, and the one in its place. They are one series, because Prometheus and node_exporter refuse the same series twice.
func TestPeersOfOneName(t *testing.T) {
	x := new(exposition)
	exposePeers(x, []status.Peer{{Name: "pi", State: status.PeerSeen}, {Name: "pi", State: status.PeerSeen}, {Name: "pi2", State: status.PeerSeen}})
	if got := scraped(t, x.String()); len(got) != 2 {
		t.Errorf("got %v", got)
	}
}

// TestLabelsAreQuoted: no label value can end its quotes.
func TestLabelsAreQuoted(t *testing.T) {
	x := new(exposition)
	x.family("m", gauge, "a\nb\\c").add(1, "l", "\"\\\n")
	if want := "# HELP m a\\nb\\\\c\n# TYPE m gauge\nm{l=\"\\\"\\\\\\n\"} 1\n"; x.String() != want {
		t.Errorf("got %q, want %q", x.String(), want)
	}
}

// TestStateSetsAreWhole: every state that our packages declare has a series.
func TestStateSetsAreWhole(t *testing.T) {
	for _, set := range []struct {
		dir, kind string
		known     int
	}{{"reconcile/host", "Role", len(roles)}, {"reconcile/host", "HAProxyState", len(haproxyStates)}, {"reconcile/status", "Outcome", len(outcomes)}} {
		if declared := constants(t, "../../../"+set.dir, set.kind); len(declared) != set.known {
			t.Errorf("%s: %d states have a series, declared are %v", set.kind, set.known, declared)
		}
	}
	for _, role := range roles {
		s := example(t)
		s.Role = role
		x := new(exposition)
		exposeStatus(x, s, 0)
		if got := scraped(t, x.String())[fmt.Sprintf("rlb_role{role=%q}", role)]; got != 1 {
			t.Errorf("%s is %v", role, got)
		}
	}
}

// constants returns the constants of a type that the package in a directory declares.
func constants(t *testing.T, dir, kind string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(dir + "/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", dir, err)
	}
	declaration := regexp.MustCompile(`(?m)^\t(\w+)\s+` + kind + `\s+= "`)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range declaration.FindAllStringSubmatch(string(data), -1) {
			names = append(names, match[1])
		}
	}
	return names
}
