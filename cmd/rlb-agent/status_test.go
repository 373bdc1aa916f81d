package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/reconcile/events"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/status"
)

// beforeSample is the text before the sample of a status on the commands page.
const beforeSample = "What the active host of a pair prints after a failover:\n\n```text\n"

// TestStatusSample: the commands page shows the status as the program prints it. -update rewrites it.
func TestStatusSample(t *testing.T) {
	local := time.Local
	time.Local = time.UTC
	defer func() { time.Local = local }()
	now := time.Date(2026, 7, 1, 14, 2, 17, 0, time.UTC)
	condition := func(kind string) status.Condition { return status.Condition{Type: kind, Status: "True"} }
	server := func(name, address, state, reason string, since time.Duration) host.ServerState {
		return host.ServerState{Backend: "kube-apiserver", Name: name, Address: address, State: state, Reason: reason, Since: now.Add(-since)}
	}
	const well = "answers the check with HTTP status 200 OK (L7OK 200)"
	s := status.Status{
		Node: "lb1", Host: "lb1", ObservedGeneration: 20, Role: host.RoleMaster, RoleSince: now.Add(-7 * time.Second), RoleReason: "took over: the other host stopped advertising, or has a lower priority",
		VirtualIPs: []status.VirtualIP{{Address: "192.168.3.240", Held: true}},
		Agent:      &status.Agent{Running: true, Enabled: true, Since: now.Add(-76 * time.Hour)},
		Peers: []status.Peer{{Name: "lb2", Address: "192.168.3.12", State: status.PeerSeen,
			Agent: &status.PeerAgent{Role: host.RoleFault, Heard: now.Add(-2 * time.Second)}}},
		HAProxy: &status.HAProxy{State: host.HAProxyAnswers},
		Services: []status.Service{{Name: "kube-apiserver", Port: 9000, Listening: true, Servers: []host.ServerState{
			server("cp1", "192.168.3.251:6443", "UP", well, 76*time.Hour),
			server("cp2", "192.168.3.252:6443", "UP", well, 76*time.Hour),
			server("cp3", "192.168.3.253:6443", "DOWN", "does not accept connections: Connection refused (L4CON)", 11*time.Minute),
		}}},
		LastReconcile: &status.Run{Time: now.Add(-26 * time.Hour), Duration: "212ms", Result: status.Changed, Steps: []string{"write", "reload"}},
		Versions:      status.Versions{Agent: "v1.0.0", HAProxy: "3.0.11-1", Keepalived: "1:2.3.3-1"},
		Conditions: []status.Condition{condition("Ready"), condition("SpecValid"), condition("InSync"), condition("Serving"), condition("PeerInSync"),
			{Type: "Redundant", Status: "False", Message: "lb2 cannot serve: it is in FAULT"}, condition("AgentRunning")},
		Events: []events.Event{
			{Time: now.Add(-11 * time.Minute), Kind: events.Server, Message: "service kube-apiserver: server cp3 is down: Layer4 connection problem, Connection refused"},
			{Time: now.Add(-7 * time.Second), Kind: events.Role, Message: "took the virtual IPs (MASTER)", Cause: "another host gave the virtual IPs up"},
		},
	}
	page, err := os.ReadFile(commandsPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(page), beforeSample)
	shown, after, ends := strings.Cut(rest, "```\n")
	if !begins || !ends {
		t.Fatalf("%s has no sample of a status", commandsPage)
	}
	printed := statusText(s, false, 0, false, now)
	if *update {
		if err := os.WriteFile(commandsPage, []byte(before+beforeSample+printed+"```\n"+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(printed, shown); diff != "" {
		t.Errorf("%s shows another status than the program prints (make manual), -printed +shown:\n%s", commandsPage, diff)
	}
}

// TestVerdictFits: on a terminal the verdict has as many lines as it needs. A terminal that wraps it itself makes a watched
// status higher than the screen, and the verdict scrolls away.
func TestVerdictFits(t *testing.T) {
	s := status.Status{Node: "lb1", Role: host.RoleMaster, Conditions: []status.Condition{{Type: "Ready", Status: "False", Message: strings.Repeat("the reason ", 20)}}}
	for _, color := range []bool{false, true} {
		head, _, _ := strings.Cut(statusText(s, false, 60, color, time.Now()), "\n\n")
		for line := range strings.Lines(head) {
			if len(line) > 60+len("\x1b[31m\x1b[0m\n") {
				t.Errorf("%d characters: %q", len(line), line)
			}
		}
		if strings.Count(head, "reason") == 0 {
			t.Errorf("no reason in %q", head)
		}
	}
}
