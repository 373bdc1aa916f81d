package status

import (
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// TestDraining: whether the connections of a server with a wrong status are cut depends on cutAfter, on whether the
// daemon runs, and on the version of HAProxy.
func TestDraining(t *testing.T) {
	const wrong = "answers the check with HTTP status 500 Internal Server Error, which does not count as healthy"
	const keeps, fails = wrong + " (L7OKC 500)", wrong + " (L7STS 500)"
	runs, stopped := &Agent{Running: true}, &Agent{Enabled: true}
	for name, test := range map[string]struct {
		state, reason string
		ago           time.Duration // the age of the state
		cutAfter      time.Duration
		haproxy       string // version
		agent         *Agent
		daemon        bool // the daemon itself writes the status
		want          string
	}{
		"soon":                       {"NOLB", keeps, 19 * time.Second, time.Minute, "2.6.12-1", runs, false, "draining: " + keeps + "; its connections are cut in 41s"},
		"now":                        {"NOLB", keeps, time.Minute, time.Minute, "2.6.12-1", runs, false, "draining: " + keeps + "; its connections are about to be cut"},
		"systemd does not answer":    {"NOLB", keeps, time.Minute, time.Minute, "2.6.12-1", nil, false, "draining: " + keeps},
		"past":                       {"NOLB", keeps, 2 * time.Minute, time.Minute, "2.6.12-1", runs, false, "draining: " + keeps + "; its connections were cut"},
		"the daemon itself":          {"NOLB 1/2", keeps, 0, time.Minute, "2.4.0-1", nil, true, "draining: " + keeps + "; its connections are cut in 1m0s"},
		"the agent is stopped":       {"NOLB", keeps, 19 * time.Second, time.Minute, "2.6.12-1", stopped, false, "draining: " + keeps + "; connections are not cut while the agent does not run"},
		"stopped, past":              {"NOLB", keeps, time.Hour, time.Minute, "2.6.12-1", stopped, false, "draining: " + keeps + "; connections are not cut while the agent does not run"},
		"no agent is installed":      {"NOLB", keeps, 0, time.Minute, "2.6.12-1", nil, false, "draining: " + keeps + "; connections are not cut while the agent does not run"},
		"HAProxy too old":            {"DOWN", fails, 19 * time.Second, time.Minute, "2.2.9-2+deb11u6", runs, false, fails + "; cutAfter has no effect: it needs HAProxy 2.4"},
		"too old, a check is on":     {"DOWN", wrong + " (L7STS)", 19 * time.Second, time.Minute, "2.2.9-2+deb11u6", runs, false, wrong + " (L7STS); cutAfter has no effect: it needs HAProxy 2.4"},
		"too old, no cutAfter":       {"DOWN", fails, 19 * time.Second, 0, "2.2.9-2+deb11u6", runs, false, fails},
		"too old, by its own lines":  {"NOLB", keeps, 19 * time.Second, time.Minute, "2.2.9-2+deb11u6", runs, false, keeps},
		"too old, refuses":           {"DOWN", "does not accept connections (L4CON)", 0, time.Minute, "2.2.9-2+deb11u6", runs, false, "does not accept connections (L4CON)"},
		"refuses":                    {"DOWN", "does not accept connections (L4CON)", 0, time.Minute, "2.6.12-1", runs, false, "does not accept connections (L4CON)"},
		"up":                         {"UP", "answers the check (L7OK 200)", 0, time.Minute, "2.6.12-1", runs, false, "answers the check (L7OK 200)"},
		"no cutAfter, its own lines": {"NOLB", keeps, 0, 0, "2.6.12-1", runs, false, keeps},
	} {
		r := reading{now: now, agentUnseen: name == "systemd does not answer"}
		if test.daemon {
			r.health = &state.GuardRecord{}
		}
		cutAfter := api.Duration(test.cutAfter)
		service := api.Service{HealthCheck: api.HealthCheck{CutAfter: &cutAfter}}
		s := Status{Agent: test.agent, Versions: Versions{HAProxy: test.haproxy}}
		state := host.ServerState{State: test.state, Reason: test.reason, Since: now.Add(-test.ago)}
		r.draining(&s, service, &state)
		if state.Reason != test.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, state.Reason, test.want)
		}
		cutAt := time.Time{}
		if strings.Contains(test.want, "its connections ") {
			cutAt = now.Add(test.cutAfter - test.ago)
		}
		if !state.CutAt.Equal(cutAt) {
			t.Errorf("%s: cut at %v, want %v", name, state.CutAt, cutAt)
		}
	}
}

// TestReasonDuringACheck: while a check runs, HAProxy reports no details of the last check. The reason stays that of
// the last status.
func TestReasonDuringACheck(t *testing.T) {
	const (
		wrong  = "answers the check with HTTP status 500 Internal Server Error, which does not count as healthy (L7OKC 500)"
		open   = "answers the check with HTTP status 401 Unauthorized, which counts as healthy; the check does not show whether the server is ready (L7OK 401)"
		refuse = "does not accept connections: Connection refused (L4CON)"
		noName = "its DNS name does not resolve"
	)
	for name, test := range map[string]struct {
		before, state, reason string
		checking              bool
		want                  string
		wantStatus            int // it was 500 before, and HAProxy now reports none
	}{
		"wrong status":         {"draining: " + wrong + "; its connections are cut in 59s", "NOLB", "answers the check with a status that does not count as healthy (L7OKC)", true, wrong, 500},
		"told again":           {"draining: " + wrong, "NOLB", strings.ReplaceAll(wrong, "500", "503"), false, strings.ReplaceAll(wrong, "500", "503"), 0},
		"401":                  {open, "UP", "answers the check (L7OK)", true, open, 500},
		"refused":              {refuse, "DOWN", "does not accept connections (L4CON)", true, refuse, 500},
		"another kind":         {refuse, "DOWN", "does not accept connections within the check's timeout (L4TOUT)", true, "does not accept connections within the check's timeout (L4TOUT)", 0},
		"without one":          {noName, "MAINT (resolution)", noName, true, noName, 0},
		"nothing known before": {"", "UP", "answers the check (L7OK)", true, "answers the check (L7OK)", 0},
	} {
		r := reading{now: now, spec: &api.LoadBalancerSpec{}, last: Status{Services: []Service{{Name: "api", Servers: []host.ServerState{{Name: "a", State: test.state, Reason: test.before, HTTPStatus: 500, Since: now}}}}}}
		none := api.Duration(0)
		service := api.Service{Name: "api", HealthCheck: api.HealthCheck{CutAfter: &none}}
		got := r.servers(&Status{}, service, haproxyNow{states: []host.ServerState{{Backend: "api", Name: "a", State: test.state, Reason: test.reason, Since: now.Add(-time.Second), Checking: test.checking}}})
		if len(got) != 1 || got[0].Reason != test.want || got[0].HTTPStatus != test.wantStatus || !got[0].Since.Equal(now) {
			t.Errorf("%s: got %+v, want %s", name, got, test.want)
		}
	}
}
