package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
)

// now is when the statuses of these tests are read.
var now = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// example is a status with something in every field.
func example() status.Status {
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	return status.Status{
		APIVersion: "rlb.dev/v1", Kind: "LoadBalancerStatus",
		Metadata: status.Metadata{Name: "prod"}, Node: "lb1", Generation: 4, ObservedGeneration: 3, SpecDigest: strings.Repeat("ab", 32),
		Role: host.RoleMaster, RoleSince: ago(7 * time.Second), RoleReason: "lb2 stopped advertising",
		VirtualIPs: []status.VirtualIP{{Address: "198.51.100.100", Held: true}, {Address: "2001:db8::100", Held: false}},
		Peers:      []status.Peer{{Name: "lb2", Address: "198.51.100.12", State: status.PeerNotSeen}},
		HAProxy:    &status.HAProxy{State: host.HAProxyAnswers, OldWorkers: 1},
		Services: []status.Service{{Name: "kube-apiserver", Port: 9000, Listening: true, Servers: []host.ServerState{
			{Name: "cp1", Address: "198.51.100.21:6443", State: "UP", Since: ago(200 * time.Second), Reason: "answers the check with HTTP status 200 OK (L7OK 200)"},
			{Name: "second", Address: "198.51.100.22:6443", State: "DOWN", Since: ago(26*time.Hour + 5*time.Minute), Reason: "does not accept connections: Connection refused (L4CON)"},
		}}},
		Drift: state.DriftRecord{Found: 2, Repaired: 1, Last: &state.DriftEvent{Time: ago(time.Minute), Steps: []string{"start haproxy"}, By: "root"}},
		Conditions: []status.Condition{
			{Type: "Ready", Status: "False", Reason: "SpecInvalid", Message: "a; b", LastTransitionTime: ago(time.Hour)},
			{Type: "SpecValid", Status: "False", Reason: "Refused", Message: "spec.yaml:1:1: a\nspec.yaml:2:1: b", LastTransitionTime: now},
			{Type: "InSync", Status: "True", Reason: "AsWanted", LastTransitionTime: ago(time.Hour)},
			{Type: "Serving", Status: "True", Reason: "Active", LastTransitionTime: ago(time.Hour)},
		},
		LastReconcile: &status.Run{Time: ago(45 * time.Second), Duration: "45ms", Result: status.Changed, Steps: []string{"x"}},
		Versions:      status.Versions{Agent: "v1", HAProxy: "2.6.12", Keepalived: "2.2.7"},
		Updates:       &status.Updates{HeldBack: []status.HeldUpdate{{Package: "haproxy", Version: "2.6.12-1", Candidate: "2.6.12-2", Security: true}}},
		NotSeen:       []string{"firewall: cannot look"},
	}
}

const exampleText = `Role            MASTER for 7s: lb2 stopped advertising
Node            lb1 of prod
Virtual IP      198.51.100.100  held
Virtual IP      2001:db8::100   not held
Peer            lb2  198.51.100.12  not seen
HAProxy         answers, 1 old process finishes its connections
Service         kube-apiserver on port 9000: listening, 1 of 2 servers up
  cp1           198.51.100.21:6443  UP for 3m20s   answers the check with HTTP status 200 OK (L7OK 200)
  second        198.51.100.22:6443  DOWN for 1d2h  does not accept connections: Connection refused (L4CON)
Ready           False for 1h  SpecInvalid
SpecValid       False         Refused: spec.yaml:1:1: a; spec.yaml:2:1: b
InSync          True for 1h   AsWanted
Serving         True for 1h   Active
Drift           found 2, repaired 1; last 1m ago: start haproxy, by root
Last reconcile  Changed 45s ago, in 45ms, 1 step
Spec            generation 4; in force is generation 3
Held back       haproxy 2.6.12-1 from 2.6.12-2, a security update
Versions        haproxy 2.6.12, keepalived 2.2.7, rlb-agent v1
Not seen        firewall: cannot look
`

func TestStatusText(t *testing.T) {
	if diff := cmp.Diff(strings.Split(exampleText, "\n"), strings.Split(textOf(statusRows(example(), now), 0), "\n")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// On a terminal a long text goes on below its own column; nothing is lost.
func TestStatusTextWraps(t *testing.T) {
	text := textOf(statusRows(example(), now), 80)
	for line := range strings.Lines(text) {
		if len(strings.TrimSuffix(line, "\n")) > 80 {
			t.Errorf("too long: %q", line)
		}
	}
	want := "  second        198.51.100.22:6443  DOWN for 1d2h  does not accept connections:\n" +
		strings.Repeat(" ", 51) + "Connection refused (L4CON)\n"
	if !strings.Contains(text, want) {
		t.Errorf("got\n%s\nwant in it\n%s", text, want)
	}
	words := func(text string) []string { return strings.Fields(text) }
	if diff := cmp.Diff(words(exampleText), words(text)); diff != "" {
		t.Errorf("other words: %s", diff)
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 999 * time.Millisecond: "0s", 7 * time.Second: "7s", time.Minute: "1m", 200 * time.Second: "3m20s",
		time.Hour: "1h", 2*time.Hour + 5*time.Minute + 3*time.Second: "2h5m", 26 * time.Hour: "1d2h", 1000 * time.Hour: "41d16h",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%v) = %q, want %q", d, got, want)
		}
	}
}

// A frame overwrites the former one line by line, clears what that had more, and fits on the screen.
func TestFrame(t *testing.T) {
	if got, want := frame("a\nb\n", 5), "\x1b[Ha\x1b[K\r\nb\x1b[K\x1b[J"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := frame("a\nb\nc\nd\n", 3), "\x1b[Ha\x1b[K\r\nb\x1b[K\r\n… 2 lines more\x1b[K\x1b[J"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
