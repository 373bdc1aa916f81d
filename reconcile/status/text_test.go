package status

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// now is when the statuses of these tests are read.
var now = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// example is a status with something in every field.
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
	if diff := cmp.Diff(strings.Split(exampleText, "\n"), strings.Split(Text(Rows(example(t), now), 0), "\n")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// On a terminal a long text goes on below its own column; nothing is lost.
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
