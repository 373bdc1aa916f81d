package debian

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
	"rlb.dev/rlb-agent/reconcile/host/debian/program/recorded"
)

func TestStory(t *testing.T) {
	h, f := newFake(t)
	f.Answers = []recorded.Answer{{Words: "journalctl", Out: program.Output{Stdout: `{"__REALTIME_TIMESTAMP":"1700000000000001","_SYSTEMD_UNIT":"keepalived.service","PRIORITY":"6","MESSAGE":"(HA) Entering MASTER STATE","_PID":"77"}
not JSON
{"__REALTIME_TIMESTAMP":"1700000000000002","MESSAGE":["two","messages"],"_SYSTEMD_UNIT":"haproxy.service"}
{"__REALTIME_TIMESTAMP":"1700000000000003","_PID":"1","UNIT":"haproxy.service","_SYSTEMD_UNIT":"init.scope","MESSAGE":"Stopping haproxy.service..."}
{"__REALTIME_TIMESTAMP":"1700000000000004","SYSLOG_IDENTIFIER":"rlb-agent","_UID":"0","MESSAGE":"root ran rlb-agent drain","RLB_COMMAND":"rlb-agent drain","PRIORITY":"4"}
`}}}
	all, err := h.Story(t.Context(), time.Unix(5, 0), 20_000)
	if err != nil || len(all) != 3 {
		t.Fatalf("%+v, %v", all, err)
	}
	if e := all[0]; e.Unit != host.KeepalivedUnit || e.Manager || !e.Time.Equal(time.UnixMicro(1700000000000001)) || e.Message != "(HA) Entering MASTER STATE" {
		t.Errorf("keepalived's: %+v", e)
	}
	if e := all[1]; e.Unit != host.HAProxyUnit || !e.Manager {
		t.Errorf("systemd's: %+v", e)
	}
	if e := all[2]; e.Unit != host.AgentUnit || e.Fields["command"] != "rlb-agent drain" || e.Priority != 4 {
		t.Errorf("the command's: %+v", e)
	}
	if ran := strings.Join(f.Ran, "\n"); !strings.Contains(ran, "--since=@5.000000") || !strings.Contains(ran, " --all ") || !strings.Contains(ran, "SYSLOG_IDENTIFIER=rlb-agent _UID=0 +") {
		t.Errorf("ran %s", ran)
	}
}

// TestStoryWithSudo: commands that people ran with sudo are among the other entries by time. journalctl fails where it finds
// none.
func TestStoryWithSudo(t *testing.T) {
	h, f := newFake(t)
	f.Answers = []recorded.Answer{
		{Words: "journalctl --grep", Out: program.Output{Stdout: `{"__REALTIME_TIMESTAMP":"1700000000000001","_SYSTEMD_UNIT":"session-1.scope","_EXE":"/usr/bin/sudo","MESSAGE":"alice : TTY=pts/0"}
`}},
		{Words: "journalctl", Out: program.Output{Stdout: `{"__REALTIME_TIMESTAMP":"1700000000000002","_SYSTEMD_UNIT":"keepalived.service","MESSAGE":"x"}
`}},
	}
	all, err := h.StoryWithSudo(t.Context(), time.Unix(5, 0), 20_000)
	if err != nil || len(all) != 2 || all[0].Unit != host.Sudo || all[1].Unit != host.KeepalivedUnit {
		t.Errorf("%+v, %v", all, err)
	}
	if ran := strings.Join(f.Ran, "\n"); strings.Count(ran, "_EXE=/usr/bin/sudo") != 1 {
		t.Errorf("ran %s", ran)
	}
	f.Answers[0].Out = program.Output{Code: 1}
	if all, err := h.StoryWithSudo(t.Context(), time.Unix(5, 0), 20_000); err != nil || len(all) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestEntryThatDoesNotPrint: the journal stores unprintable messages as bytes. A server cannot hide that way that it is
// down, or control a terminal.
func TestEntryThatDoesNotPrint(t *testing.T) {
	var octets []string
	for _, b := range []byte("Server web/cp1 is DOWN, reason: Layer7 wrong status, info: \"\x1b[2Jgone\"") {
		octets = append(octets, fmt.Sprint(b))
	}
	e, ok := parseEntry([]byte(`{"__REALTIME_TIMESTAMP":"1","_SYSTEMD_UNIT":"haproxy.service","MESSAGE":[` + strings.Join(octets, ",") + `]}`))
	if want := `Server web/cp1 is DOWN, reason: Layer7 wrong status, info: "[2Jgone"`; !ok || e.Message != want {
		t.Errorf("%v, %q", ok, e.Message)
	}
	if e, ok := parseEntry([]byte(`{"__REALTIME_TIMESTAMP":"1","MESSAGE":["two","messages"]}`)); ok {
		t.Errorf("two messages are one: %q", e.Message)
	}
}

// TestLongEntry: a message may have any length, like that of a refused spec with many problems. Its beginning is enough.
func TestLongEntry(t *testing.T) {
	e, ok := parseEntry([]byte(`{"__REALTIME_TIMESTAMP":"1","MESSAGE":"a` + strings.Repeat("ß", maxMessage) + `"}`))
	if want := "a" + strings.Repeat("ß", maxMessage/2-1); !ok || e.Message != want {
		t.Errorf("%t, %d octets, want %d", ok, len(e.Message), len(want))
	}
}

func FuzzParseEntry(f *testing.F) {
	f.Add([]byte(`{"__REALTIME_TIMESTAMP":"1","MESSAGE":"x","PRIORITY":"x","RLB_STEP":["a"]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if e, ok := parseEntry(line); ok && e.Message == "" {
			t.Error("an entry without a message")
		}
	})
}

func TestStoryThatCannotBeRead(t *testing.T) {
	h, f := newFake(t)
	f.Answers = []recorded.Answer{{Words: "journalctl", Out: program.Output{Code: 1, Stderr: "No journal files were opened due to insufficient permissions."}}}
	_, err := h.Story(t.Context(), time.Unix(5, 0), 20_000)
	recorded.WantError(t, err, "cannot read the journal: journalctl: No journal files were opened due to insufficient permissions.")
}
