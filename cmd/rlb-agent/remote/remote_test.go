package remote

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestHosts(t *testing.T) {
	for _, name := range []string{"lb1", "root@lb1", "192.168.3.241", "2001:db8::11", "lb1.example.org", "a_b"} {
		if hosts, err := Hosts([]string{name}); err != nil || hosts[0].Destination != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "-oProxyCommand=touch /x", "root@-x", "@lb1", "lb1 rm", "lb1;rm", "$(rm)", "lb1\n", "ssh://lb1", "a@b@c", "`x`", "lb1|x"} {
		if _, err := Hosts([]string{name}); err == nil {
			t.Errorf("%q is taken as a host", name)
		}
	}
	if _, err := Hosts([]string{"lb1", "lb1"}); err == nil {
		t.Error("a host is taken twice")
	}
}

// TestWords: the words of a command pass through a shell on the other host.
func TestWords(t *testing.T) {
	h := Host{"lb1", "root@lb1"}
	args, err := SSH{Sudo: true}.sshArgs(h, []string{"try", "--timeout", "2m0s", "--by", "alice@laptop", "-"})
	if err != nil || !strings.HasSuffix(strings.Join(args, " "), " -- root@lb1 sudo -n rlb-agent try --timeout 2m0s --by alice@laptop -") || !slices.Contains(args, "BatchMode=yes") {
		t.Errorf("%v %q", err, args)
	}
	for _, word := range []string{"", "a b", "a;b", "$(a)", "`a`", "a'b", "a\"b", "a|b", "a&b", "a>b", "*", "~", "a\nb", "a\\b", "{a,b}", "#a", "!a", "é"} {
		if _, err := (SSH{}).sshArgs(h, []string{word}); err == nil {
			t.Errorf("%q is sent to a shell", word)
		}
	}
	if _, err := (SSH{}).sshArgs(Host{"x", "-oProxyCommand=x"}, nil); err == nil {
		t.Error("an option is taken as a host")
	}
}

// fakeSSH replaces ssh with a script.
func fakeSSH(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ssh"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestCall(t *testing.T) {
	h := Host{"lb1", "lb1"}
	for _, tt := range []struct {
		name, script string
		want         Answer
		err          string
	}{
		{"done", "cat; echo warn >&2", Answer{0, "spec", "warn\n"}, ""},
		{"exit code", "exit 3", Answer{Code: 3}, ""},
		{"does not read", "exit 4", Answer{Code: 4}, ""},
		{"ssh fails", "echo 'ssh: connect to host lb1 port 22: Connection refused' >&2; exit 255", Answer{}, "cannot reach lb1: ssh: connect to host lb1 port 22: Connection refused"},
		{"no agent", "echo 'sh: 1: rlb-agent: not found' >&2; exit 127", Answer{}, "cannot run rlb-agent on lb1: sh: 1: rlb-agent: not found"},
		{"no sudo", "echo 'sudo: a password is required' >&2; exit 1", Answer{}, "cannot run rlb-agent on lb1: sudo: a password is required"},
		{"too long", "sleep 60", Answer{}, "cannot reach lb1: no answer within 300ms"},
		{"a connection that stays in the background", "echo done; sleep 6 & exit 0", Answer{0, "done\n", ""}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fakeSSH(t, tt.script)
			limit := 10 * time.Second
			if tt.name == "too long" {
				limit = 300 * time.Millisecond
			}
			began := time.Now()
			got, err := SSH{}.Call(t.Context(), h, Call{Args: []string{"status"}, Stdin: []byte("spec"), Limit: limit})
			if tt.err == "" && (err != nil || got != tt.want) || tt.err != "" && (err == nil || err.Error() != tt.err) {
				t.Errorf("%+v, %v", got, err)
			}
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		fakeSSH(t, "sleep 60")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, nil)
		time.AfterFunc(100*time.Millisecond, cancel)
		if _, err := (SSH{}).Call(ctx, h, Call{}); err == nil || !strings.Contains(err.Error(), "interrupted") {
			t.Error(err)
		}
	})
	t.Run("no ssh", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if _, err := (SSH{}).Call(t.Context(), h, Call{}); !errors.Is(err, errNoSSH) {
			t.Error(err)
		}
	})
	t.Run("too much", func(t *testing.T) {
		fakeSSH(t, "head -c 20000000 /dev/zero")
		if got, err := (SSH{}).Call(t.Context(), h, Call{}); err != nil || len(got.Stdout) != answerLimit {
			t.Error(len(got.Stdout), err)
		}
	})
}

func TestTexts(t *testing.T) {
	if got := Prefixed("lb1: ", "one\n\x1b[2Jtwo"); got != "lb1: one\nlb1: [2Jtwo\n" {
		t.Errorf("%q", got)
	}
	for stderr, want := range map[string]string{
		"time=1 level=WARN\nrlb-agent: cannot do it\nsee there\n": "cannot do it; see there",
		"":                                   "it said nothing",
		"Permission denied (publickey).\r\n": "Permission denied (publickey).",
	} {
		if got := Brief(Answer{Stderr: stderr}); got != want {
			t.Errorf("%q: %q", stderr, got)
		}
	}
	if got := fmt.Sprint(&Failure{Code: 1}); got != "" {
		t.Errorf("%q", got)
	}
}
