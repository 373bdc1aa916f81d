package status

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/reconcile/events"
	"rlb.dev/rlb-agent/reconcile/host"
)

// now is the time at which these tests read the statuses.
var now = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// example is a status with a value in every field.
func example(t *testing.T) (s Status) {
	t.Helper()
	data, err := os.ReadFile("testdata/example.json")
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const exampleText = `Role            MASTER for 7s: lb2 stopped advertising
Node            lb1
Virtual IP      198.51.100.100  held
Virtual IP      2001:db8::100   not held
Agent           v1, runs for 2h
Peer            lb2  198.51.100.12  not seen
Headroom        worst gap 31 ms of 60 ms allowed, in the last hour; timers here late by 1.4 ms at most
HAProxy         answers, 1 old process finishes its connections
Service         kube-apiserver on port 9000: listening, 1 of 2 servers up
  cp1           198.51.100.21:6443  UP for 3m20s   answers the check with HTTP status 200 OK (L7OK 200)
  second        198.51.100.22:6443  DOWN for 1d2h  does not accept connections: Connection refused (L4CON)
Spec            generation 4 REFUSED: spec.yaml:1:1: a; spec.yaml:2:1: b; still serving generation 3
Update          haproxy 2.6.12-2 is available, a security update, 2.6.12-1 is installed and held: rlb-agent upgrade
Drift           found 2, repaired 1; last 1m ago: start haproxy, by root
Last reconcile  Changed 45s ago, in 45ms, 1 step
Versions        haproxy 2.6.12, keepalived 2.2.7
Not seen        firewall: cannot look
`

const exampleConditions = `Ready      False for 1h  SpecInvalid
SpecValid  False         Refused: spec.yaml:1:1: a; spec.yaml:2:1: b
InSync     True for 1h   InSync
Serving    True for 1h   Active
`

func TestStatusText(t *testing.T) {
	if diff := cmp.Diff(strings.Split(exampleText, "\n"), strings.Split(Text(Rows(example(t), now), 0), "\n")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestConditionsText(t *testing.T) {
	if diff := cmp.Diff(strings.Split(exampleConditions, "\n"), strings.Split(Text(ConditionRows(example(t), now), 0), "\n")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestVerdict: the verdict is one sentence and says why a host is not as it should be.
func TestVerdict(t *testing.T) {
	condition := func(kind, is, message string) Condition { return Condition{Type: kind, Status: is, Message: message} }
	well := Status{Host: "balancer-1", Role: host.RoleMaster, ObservedGeneration: 3,
		Conditions: []Condition{condition("Ready", "True", ""), condition("Serving", "True", ""), condition("InSync", "True", "")}}
	since := now.Add(-time.Hour)
	for name, test := range map[string]struct {
		change func(*Status)
		want   string
		mood   Mood
	}{
		"master":        {func(*Status) {}, "balancer-1 is MASTER and serves: all is well", Good},
		"named":         {func(s *Status) { s.Node, s.Metadata.Name = "lb1", "prod" }, "lb1 is MASTER and serves: all is well", Good},
		"standby":       {func(s *Status) { s.Role = host.RoleBackup }, "balancer-1 is BACKUP, ready to take over: all is well", Good},
		"ordinary user": {func(s *Status) { s.Partial = true }, "balancer-1: run as root to see how this host is; an ordinary user sees only part of it", Plain},
		"drained": {func(s *Status) { s.Role, s.Drained, s.DrainedSince, s.DrainedBy = host.RoleFault, true, since, "root" },
			"balancer-1 is drained since " + since.Local().Format(time.TimeOnly) + " by root: all is well", Good},
		"drained, and so no standby": {func(s *Status) {
			s.Role, s.Drained = host.RoleFault, true
			s.Conditions = append(s.Conditions, condition("Redundant", "False", "this host cannot serve: it is drained"))
		}, "balancer-1 is drained: all is well", Good},
		"another spec": {func(s *Status) {
			s.Conditions = append(s.Conditions, condition("Redundant", "False", "lb2 cannot serve: it has other virtual IPs"), condition("PeerInSync", "False", "the specs differ: rlb-agent push"))
		}, "balancer-1 is MASTER and serves, but the specs differ: rlb-agent push", Bad},
		"the peer is gone": {func(s *Status) { s.Peers = []Peer{{Name: "lb2", State: PeerNotSeen}} },
			"balancer-1 is MASTER and serves, but lb2 is not seen: nobody may take over from this host", Bad},
		"no server is up": {func(s *Status) {
			s.Conditions[1].Reason, s.Conditions[1].Message = failOpen, "service web has no server that is up: new connections go to all of them"
		}, "balancer-1 is MASTER and serves, but service web has no server that is up: new connections go to all of them", Bad},
		"one of two peers is gone": {func(s *Status) { s.Peers = []Peer{{Name: "lb2", State: PeerNotSeen}, {Name: "lb3", State: PeerSeen}} },
			"balancer-1 is MASTER and serves, but lb2 is not seen", Bad},
		"refused": {func(s *Status) {
			s.Conditions[0].Status = "False"
			s.PendingSpec = &PendingSpec{Generation: 4, Refused: true}
		}, "balancer-1 is MASTER and serves, but generation 4 of the spec is REFUSED", Bad},
		"not applied": {func(s *Status) {
			s.Conditions[0].Status, s.Conditions[2].Status = "False", "False"
			s.PendingSpec = &PendingSpec{Generation: 4}
		}, "balancer-1 is MASTER and serves, but generation 4 of the spec is not applied yet", Bad},
		"does not serve": {func(s *Status) {
			s.Conditions = []Condition{condition("Ready", "False", ""), condition("Serving", "False", "service web has no server that is up"), condition("AgentRunning", "False", "x")}
		}, "balancer-1 is MASTER, but service web has no server that is up; rlb-agent does not run", Bad},
		"drifted": {func(s *Status) {
			s.Conditions = []Condition{condition("Ready", "False", ""), condition("Serving", "True", ""), condition("InSync", "False", "still to do: start haproxy")}
		}, "balancer-1 is MASTER and serves, but it differs from its spec: still to do: start haproxy", Bad},
		"no spec yet": {func(s *Status) {
			*s = Status{Host: "lb1", Conditions: []Condition{{Type: "Ready", Status: "False", Reason: NoSpec, Message: "there is no spec yet; rlb-agent init writes a first one"}}}
		}, "lb1 is no load balancer yet: there is no spec yet; rlb-agent init writes a first one", Plain},
		"first run": {func(s *Status) {
			s.Conditions[0].Status, s.ObservedGeneration, s.Role = "False", 0, host.RoleStopped
			s.PendingSpec, s.FirstRun = &PendingSpec{Generation: 1}, "install haproxy"
		}, "balancer-1 is no load balancer yet, the first run is under way: install haproxy", Plain},
		"first run where the services run already": {func(s *Status) {
			s.Conditions[0].Status, s.ObservedGeneration = "False", 0
			s.PendingSpec, s.FirstRun = &PendingSpec{Generation: 1}, "reload haproxy"
		}, "balancer-1 is MASTER and serves, the first run is under way: reload haproxy", Plain},
		"the first spec waits": {func(s *Status) {
			s.Conditions[0].Status, s.Conditions[1].Status, s.ObservedGeneration, s.Role = "False", "False", 0, host.RoleStopped
			s.PendingSpec = &PendingSpec{Generation: 1}
		}, "balancer-1 is no load balancer yet: generation 1 of the spec is not applied yet", Bad},
		"the first spec is refused": {func(s *Status) {
			s.Conditions[0].Status, s.ObservedGeneration, s.Role = "False", 0, host.RoleUnknown
			s.PendingSpec = &PendingSpec{Generation: 1, Refused: true}
		}, "balancer-1 is no load balancer yet: generation 1 of the spec is REFUSED", Bad},
		"nothing in force": {func(s *Status) {
			*s = Status{Role: host.RoleUnknown, Conditions: []Condition{condition("Ready", "False", "spec.yaml:1:1: a")}}
		}, "this host has an unknown role, but spec.yaml:1:1: a", Bad},
	} {
		t.Run(name, func(t *testing.T) {
			s := well
			s.Conditions = slices.Clone(well.Conditions)
			test.change(&s)
			if text, mood := Verdict(s, now); text != test.want || mood != test.mood {
				t.Errorf("%s %q, want %s %q", mood, text, test.mood, test.want)
			}
		})
	}
}

// TestRows: the rows about the agent, the spec and a drain.
func TestRows(t *testing.T) {
	pending := func(p PendingSpec, agent *Agent) Status {
		return Status{ObservedGeneration: 20, PendingSpec: &p, Agent: agent}
	}
	for name, test := range map[string]struct {
		s    Status
		want string
	}{
		"refused by the host": {pending(PendingSpec{Generation: 21, Refused: true, Reason: "RefusedByThisHost", Message: "port 9001 in use by perl (1428)"}, &Agent{Running: true}),
			"Spec   generation 21 REFUSED: port 9001 in use by perl (1428); still serving generation 20; retry: systemctl reload rlb-agent\n"},
		"refused without the daemon": {pending(PendingSpec{Generation: 21, Refused: true, Reason: "RefusedByThisHost", Message: "a"}, &Agent{}),
			"Spec   generation 21 REFUSED: a; still serving generation 20; retry: rlb-agent --once\n"},
		"not applied":  {pending(PendingSpec{Generation: 21}, nil), "Spec  generation 21 is not applied yet; generation 20 is in force; to apply it: rlb-agent --once\n"},
		"in force":     {Status{ObservedGeneration: 20}, "Spec  generation 20 is in force\n"},
		"once only":    {Status{Agent: &Agent{}}, "Agent  does not run and is not enabled: changes come by rlb-agent --once\n"},
		"drained":      {Status{Role: host.RoleFault, Drained: true, DrainedSince: now.AddDate(0, 0, -2), DrainedBy: "root"}, "Role  DRAINED since " + now.AddDate(0, 0, -2).Local().Format(time.DateTime) + " by root: rlb-agent undrain ends that\n"},
		"drained only": {Status{Role: host.RoleStopped, Drained: true}, "Role  DRAINED: rlb-agent undrain ends that\n"},
		"events": {Status{Events: []events.Event{
			{Time: now.Add(-24 * time.Hour), Message: "took the virtual IPs (MASTER)", Cause: "lb2 stopped\nadvertising"}, {Time: now.Add(-time.Minute), Message: "HAProxy was reloaded"},
		}, EventsNotSeen: "cannot read the journal"}, "Event  " + now.Add(-24*time.Hour).Local().Format(time.DateTime) + "  took the virtual IPs (MASTER) (lb2 stopped; advertising)\n" +
			"Event  " + now.Add(-time.Minute).Local().Format(time.TimeOnly) + "             HAProxy was reloaded\nEvent  not seen: cannot read the journal\n"},
		"from the spec file": {Status{Partial: true, FromFile: true, VirtualIPs: []VirtualIP{{"198.51.100.9", false}}},
			"Virtual IP  198.51.100.9  not held by this host (from the spec file, which need not be in force)\nSpec        which one is in force is not seen\n"},
		"refused, and what is in force is not seen": {Status{Partial: true, FromFile: true, Conditions: []Condition{{Type: "SpecValid", Status: isFalse, Message: "spec.yaml:1:1: a"}}},
			"Spec      the spec file is REFUSED: spec.yaml:1:1: a; which spec is in force is not seen\n"},
		"not to be looked at": {Status{Partial: true, FromFile: true, Role: host.RoleUnknown, Conditions: []Condition{{Type: "InSync", Status: isFalse, Message: "still to do: write a"}}, HAProxy: &HAProxy{}, Services: []Service{{Name: "web", Port: 80, NotSeen: true}}, NotSeen: []string{"firewall: cannot", "the servers: b"}},
			"Service   web on port 80: not seen\nSpec      which one is in force is not seen\nNot seen  run as root (sudo rlb-agent status) to see: firewall, the servers\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Text(Rows(test.s, now), 0); !strings.Contains(got, test.want) {
				t.Errorf("got\n%s\nwant in it\n%s", got, test.want)
			}
			if got := Text(Rows(test.s, now), 0); test.s.Partial && (strings.Contains(got, "Problem") || strings.Contains(got, "UNKNOWN")) {
				t.Errorf("what an ordinary user cannot see is judged:\n%s", got)
			}
		})
	}
}

// TestColored: whole lines are colored, and good rows have no color.
func TestColored(t *testing.T) {
	rows := []Row{{Label: "a", Text: "one two three four five six", Mood: Bad}, {Label: "b", Text: "x", Mood: Good}}
	if got, want := Colored(rows, 25), "\x1b[31ma  one two three four\x1b[0m\n\x1b[31m   five six\x1b[0m\nb  x\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := Color("well\n", Good); got != "\x1b[32mwell\x1b[0m\n" {
		t.Errorf("%q", got)
	}
}

// TestStatusTextWraps: on a terminal a long text continues below its own column, and no word is lost.
func TestStatusTextWraps(t *testing.T) {
	text := Text(Rows(example(t), now), 80)
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

// TestDrainingText: both hosts show the connections that a drained host still serves.
func TestDrainingText(t *testing.T) {
	d := &Draining{37, now.Add(8*time.Minute + 12*time.Second)}
	s := example(t)
	s.Draining = d
	s.Peers[0].Agent = &PeerAgent{Role: host.RoleFault, Drained: true, Serving: true, Heard: now, Draining: d}
	text := Text(Rows(s, now), 0)
	for _, want := range []string{"its agent says FAULT, drained, 0s ago; it drains: 37 connections left, 8m12s\n", "\nDraining        37 connections left, 8m12s\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q:\n%s", want, text)
		}
	}
}
