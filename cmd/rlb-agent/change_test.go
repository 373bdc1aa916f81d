package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"os/user"
	"strings"
	"syscall"
	"testing"
	"time"

	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/state"
)

// TestCaller: behind sudo the caller is the user who called sudo; invalid user names are skipped.
func TestCaller(t *testing.T) {
	account, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ sudo, user, logname, want string }{
		{"alice", "root", "root", "alice"},
		{"", "bob", "carol", "bob"},
		{"", "", "carol", "carol"},
		{"a b\n", "bob", "", "bob"},
		{"", "", "", account.Username},
	} {
		t.Setenv("SUDO_USER", c.sudo)
		t.Setenv("USER", c.user)
		t.Setenv("LOGNAME", c.logname)
		if got := caller(); got != c.want {
			t.Errorf("%q: %q", c, got)
		}
	}
}

// TestHistoryColumns: the history shows who brought each generation into force, and when.
func TestHistoryColumns(t *testing.T) {
	local := time.Local
	time.Local = time.UTC
	defer func() { time.Local = local }()
	var out strings.Builder
	h, at := fake.New(), time.Date(2026, 7, 1, 14, 2, 17, 0, time.UTC)
	data := []byte("x")
	all := []state.Generation{{Number: 1, Time: at, By: "alice", Digest: host.Digest(data)}, {Number: 2, Time: at.Add(time.Hour), By: "bob@laptop", Digest: host.Digest(data)}}
	if err := (&app{stdout: &out}).listGenerations(t.Context(), h, all); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"GENERATION IN FORCE FROM BY SPEC CHANGE\n", "1 2026-07-01 14:02:17 UTC alice sha256:", "2 (in force) 2026-07-01 15:02:17 UTC bob@laptop sha256:"} {
		if got := strings.ReplaceAll(strings.Join(strings.Fields(out.String()), " "), "CHANGE ", "CHANGE\n"); !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// TestForItsFile: a --spec that is not the file of the trial is refused.
func TestForItsFile(t *testing.T) {
	trial := &state.Trial{Spec: "/etc/rlb/spec.yaml"}
	for spec, want := range map[string]string{
		"": "", "/etc/rlb/spec.yaml": "", "/etc/rlb/../rlb/spec.yaml": "",
		"other.yaml": "cannot end the trial with --spec other.yaml: it goes back to /etc/rlb/spec.yaml",
	} {
		err := forItsFile(trial, spec, "end the trial", "it goes back to")
		if usage := (usageError{}); want == "" && err != nil || want != "" && (!errors.As(err, &usage) || err.Error() != want) {
			t.Errorf("--spec %q: %v", spec, err)
		}
	}
}

// TestCommandNote: the journal records each command that changes a host, who ran it, and how it ended.
func TestCommandNote(t *testing.T) {
	failure := &reconcile.Failure{Err: errors.New("cannot reload haproxy.service"), Undone: true}
	for _, test := range []struct {
		args  []string
		err   error
		want  string
		level slog.Level
	}{
		{[]string{"--once"}, nil, "alice ran rlb-agent --once (1.234s): done", slog.LevelInfo},
		{[]string{"--once", "--spec", "/tmp/spec.yaml"}, nil, "alice ran rlb-agent --once (1.234s): done", slog.LevelInfo},
		{[]string{"try", "--timeout", "10m", "--detach", "new.yaml"}, nil, "alice ran rlb-agent try new.yaml --detach --timeout=10m0s (1.234s): done", slog.LevelInfo},
		{[]string{"try", "--end"}, nil, "alice ran rlb-agent try --end (1.234s): done", slog.LevelInfo},
		{[]string{"confirm"}, nil, "alice ran rlb-agent confirm (1.234s): done", slog.LevelInfo},
		{[]string{"confirm"}, usageError{errors.New("cannot confirm: no spec is tried, or its time is over")},
			"alice ran rlb-agent confirm (1.234s): cannot confirm: no spec is tried, or its time is over", slog.LevelWarn},
		{[]string{"rollback", "3"}, nil, "alice ran rlb-agent rollback 3 (1.234s): done", slog.LevelInfo},
		{[]string{"drain", "--wait", "10m"}, failure, "alice ran rlb-agent drain --wait=10m0s (1.234s): cannot reload haproxy.service", slog.LevelWarn},
		{[]string{"undrain"}, nil, "alice ran rlb-agent undrain (1.234s): done", slog.LevelInfo},
		{[]string{"undrain"}, fmt.Errorf("cannot undrain\nmore of it"), "alice ran rlb-agent undrain (1.234s): cannot undrain", slog.LevelWarn},
		{[]string{"--once"}, errors.New("haproxy refuses its configuration:\n  spec.yaml:14:1: unknown keyword\nmore of it"),
			"alice ran rlb-agent --once (1.234s): haproxy refuses its configuration: spec.yaml:14:1: unknown keyword", slog.LevelWarn},
	} {
		t.Run(test.want, func(t *testing.T) {
			a := &app{by: "alice"}
			cmd, rest, err := a.command().Find(test.args)
			if err == nil {
				err = cmd.ParseFlags(rest)
			}
			if err != nil {
				t.Fatal(err)
			}
			a.ran = commandLine(cmd, cmd.Flags().Args())
			level, text, attrs := a.commandNote(1234*time.Millisecond, test.err)
			if text != test.want || level != test.level {
				t.Errorf("%v %q", level, text)
			}
			if fields := fmt.Sprint(attrs); fields != fmt.Sprintf("[command=%s by=alice]", a.ran) {
				t.Error(fields)
			}
		})
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("a", 64)
	for _, tt := range []struct {
		name         string
		user, person bool
	}{
		{"anna", true, true},
		{"a.b_c-9", true, true},
		{long, true, true},
		{long + "a", false, false},
		{"", false, false},
		{"anna@lb1", false, true},
		{long + "@" + long, false, true},
		{"anna@" + long + "a", false, false},
		{long + "a@lb1", false, false},
		{"anna@", false, false},
		{"@lb1", false, false},
		{"anna@lb1@lb2", false, false},
		{"anna\n", false, false},
		{"an na", false, false},
	} {
		if got := isUser(tt.name); got != tt.user {
			t.Errorf("isUser(%q) = %v", tt.name, got)
		}
		if got := isPerson(tt.name); got != tt.person {
			t.Errorf("isPerson(%q) = %v", tt.name, got)
		}
	}
}

// TestUntilTerminalLost: a lost terminal or connection stops a change in order and does not kill the program; nohup goes on. A
// broken pipe neither stops nor kills it.
func TestUntilTerminalLost(t *testing.T) {
	send := func(s syscall.Signal) {
		if err := syscall.Kill(os.Getpid(), s); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	ctx, stop := untilTerminalLost(t.Context())
	defer stop()
	if send(syscall.SIGPIPE); ctx.Err() != nil {
		t.Error("a broken pipe stops it")
	}
	send(syscall.SIGHUP)
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Error("a lost terminal does not stop it")
	}
	stop()
	signal.Ignore(syscall.SIGHUP)
	defer signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP) // Reset leaves it ignored, for the programs of later tests too
	ctx, stop = untilTerminalLost(t.Context())
	defer stop()
	if send(syscall.SIGHUP); ctx.Err() != nil {
		t.Error("nohup does not help")
	}
}
