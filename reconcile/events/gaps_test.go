package events

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestGaps: how long a condition lasted, from the events that begin and end it.
func TestGaps(t *testing.T) {
	start := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	var all []Event
	for _, e := range []struct {
		ms      int
		kind    Kind
		message string
		state   string
	}{
		{0, Server, "service web: server cp2 is up: the beginning is not known", ""},
		{10, Role, "took the virtual IPs (MASTER)", "MASTER"},
		{1000, Server, "service web: server cp1 is down: refused", ""},
		{1100, Server, "service web: server cp2 is down", ""},
		{1200, Server, "service web: all servers are down", ""},
		{3000, Program, "HAProxy died (killed, 9/KILL)", ""},
		{3010, Program, "HAProxy was stopped", ""},
		{3020, Role, "may not hold the virtual IPs (FAULT)", "FAULT"},
		{3260, Program, "HAProxy was started", ""},
		{4000, Server, "service web: server cp2 is up", ""},
		{4500, Server, "service web: server cp1 is up: check passed", ""},
		{5020, Role, "stands by (BACKUP)", "BACKUP"},
		{9000, Role, "took the virtual IPs (MASTER)", "MASTER"},
	} {
		all = append(all, Event{Time: start.Add(time.Duration(e.ms) * time.Millisecond), Kind: e.kind, Message: e.message, state: e.state})
	}
	var lines []string
	for i, g := range Gaps(all) {
		if g.Long > 0 {
			lines = append(lines, fmt.Sprintf("%d %s %v", i, g.What, g.Long))
		}
	}
	want := "7 MASTER 3.01s\n8 not running 260ms\n9 without a server 2.8s\n10 down 3.5s\n11 in FAULT 2s"
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
