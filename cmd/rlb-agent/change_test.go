package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/reconcile"
)

// What the journal gets of each command that changes a host: who ran what, and how it ended.
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
