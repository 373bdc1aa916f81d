package beside

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/status"
)

// TestPrint: problems of the pair are listed below the columns, in the words of a single status's
// verdict.
func TestPrint(t *testing.T) {
	for name, c := range map[string]struct {
		ready string
		more  status.Condition
		want  string
	}{
		"well":           {"True", status.Condition{Type: "Redundant", Status: "True"}, ""},
		"no standby":     {"True", status.Condition{Type: "Redundant", Status: "False", Message: "lb2 cannot serve: it is drained"}, "lb1: lb2 cannot serve: it is drained\n"},
		"none is proven": {"True", status.Condition{Type: "Redundant", Status: "Unknown", Reason: "PeerSilent", Message: "lb2 runs no agent"}, "lb1: no standby is proven: lb2 runs no agent\n"},
		"another spec":   {"True", status.Condition{Type: "PeerInSync", Status: "False", Message: "lb2 has priority 1"}, "lb1: lb2 has priority 1\n"},
		"not ready":      {"False", status.Condition{Type: "Redundant", Status: "False", Message: "b"}, "lb1: a\n"},
	} {
		s := status.Status{Node: "lb1", Role: host.RoleMaster, Conditions: []status.Condition{{Type: "Ready", Status: c.ready, Message: "a"}, c.more}}
		other := status.Status{Node: "lb2", Role: host.RoleBackup, Conditions: []status.Condition{{Type: "Ready", Status: "True"}}}
		var b strings.Builder
		err := Print(&b, []Host{{Host: "lb1", Status: &s}, {Host: "lb2", Status: &other}, {Host: "lb3", Error: "lb3: cannot be asked"}})
		want := c.want + "lb3: cannot be asked\n"
		if got := b.String(); err != nil || !strings.HasSuffix(got, want) || strings.Count(got, "\nlb1: ") != strings.Count(want, "lb1: ") {
			t.Errorf("%s: %v\n%s\nwant at the end\n%s", name, err, got, want)
		}
	}
}

// A host that is hostile, or broken, adds no line, no column, and nothing that steers a terminal, whatever its status holds.
func TestPrintHostile(t *testing.T) {
	const evil = "x\nlb2: all is well\tyes\r\x1b[2J\u2028\u202e"
	now := func(text string) *status.Status {
		c := func(kind, is string) status.Condition {
			return status.Condition{Type: kind, Status: is, Reason: text, Message: text}
		}
		return &status.Status{Node: text, Role: host.Role(text), RoleReason: text, SpecDigest: text, DrainedBy: text,
			VirtualIPs: []status.VirtualIP{{Address: text, Held: true}},
			Services:   []status.Service{{Name: text, Listening: true, Servers: []host.ServerState{{Name: text, State: text}}}},
			Conditions: []status.Condition{c("Ready", "False"), c("Serving", "False"), c("Redundant", "False")},
			Versions:   status.Versions{Agent: text}}
	}
	print := func(text string) []string {
		ready, peer := now(text), now(text)
		ready.Conditions[0].Status = "True"
		peer.Conditions = []status.Condition{{Type: "Ready", Status: "True"}}
		peer.Peers = []status.Peer{{Name: text, State: status.PeerNotSeen}}
		drained := now(text)
		drained.Drained, drained.Role = true, host.RoleFault
		var b strings.Builder
		if err := Print(&b, []Host{{Host: "lb1", Status: now(text)}, {Host: "lb2", Status: ready}, {Host: "lb3", Status: peer}, {Host: "lb4", Status: drained}, {Host: "lb5", Error: text}}); err != nil {
			t.Fatal(err)
		}
		return strings.Split(b.String(), "\n")
	}
	good, bad := print("x"), print(evil)
	if len(bad) != len(good) {
		t.Errorf("%d lines in place of %d:\n%s", len(bad), len(good), strings.Join(bad, "\n"))
	}
	for i, line := range bad {
		if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q", line)
		}
		if strings.HasPrefix(line, "lb2: all") || slices.Contains(good, line) != (line == good[i]) {
			t.Errorf("%q in place of %q", line, good[i])
		}
	}
}

// TestPrintTooMuch: a host whose status is as large as an answer can be neither keeps the reader waiting nor fills the
// terminal.
func TestPrintTooMuch(t *testing.T) {
	long := strings.Repeat("x", 4<<20)
	s := status.Status{Node: long, Versions: status.Versions{Agent: long}, Conditions: []status.Condition{{Type: "Ready", Status: "False", Reason: long, Message: long}}}
	s.Services = []status.Service{{Name: long}}
	for i := range 200_000 {
		s.Services = append(s.Services, status.Service{Name: strconv.Itoa(i)})
	}
	began, b := time.Now(), strings.Builder{}
	if err := Print(&b, []Host{{Host: "lb1", Status: &s}, {Host: "lb2", Error: "cannot read " + long}}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second || b.Len() > 200_000 || !strings.Contains(b.String(), "\n  18  ") || !strings.Contains(b.String(), "\n  …  ") || strings.Contains(b.String(), "\n  19  ") {
		t.Errorf("%d bytes after %v: %.500s", b.Len(), took, b.String())
	}
}

// TestPrintNoSpec: hosts whose spec files cannot be read are not said to have the same one: what is in force may differ.
func TestPrintNoSpec(t *testing.T) {
	for digest, want := range map[string]bool{"": false, "abc": true} {
		var b strings.Builder
		s := status.Status{SpecDigest: digest}
		if err := Print(&b, []Host{{Host: "lb1", Status: &s}, {Host: "lb2", Status: &s}}); err != nil || strings.Contains(b.String(), "have the same spec") != want {
			t.Errorf("digest %q: %v\n%s", digest, err, b.String())
		}
	}
}
