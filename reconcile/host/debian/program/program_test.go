package program

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

func TestMachine(t *testing.T) {
	m := Machine{Log: slog.New(slog.DiscardHandler)}
	ctx := t.Context()

	out, err := m.Run(ctx, Command{Name: "cat", Stdin: "hello"})
	if err != nil || out.Stdout != "hello" || out.Code != 0 {
		t.Errorf("cat: %+v, %v", out, err)
	}
	out, err = m.Run(ctx, Command{Name: "env"})
	if err != nil || out.Stdout != strings.Join(Environment, "\n")+"\n" {
		t.Errorf("env: %+v, %v", out, err)
	}
	out, err = m.Run(ctx, Command{Name: "ls", Args: []string{"/no/such"}})
	if err != nil || out.Code != 2 {
		t.Errorf("ls: %+v, %v", out, err)
	}
	out, err = m.Run(ctx, Command{Name: "sh", Args: []string{"-c", "kill -TERM $$"}})
	if err != nil || out.Code != -1 || out.Signal != syscall.SIGTERM {
		t.Errorf("killed: %+v, %v", out, err)
	}
	if _, err := m.Run(ctx, Command{Name: "no-such-program"}); !errors.Is(err, host.ErrUnavailable) {
		t.Errorf("no such program: %v", err)
	}
	out, err = m.Run(ctx, Command{Name: "sh", Args: []string{"-c", `printf '\033[2Jno such \233\n' >&2; exit 1`}})
	if err != nil || out.Stderr != "[2Jno such \ufffd\n" {
		t.Errorf("words that steer a terminal: %+v, %v", out, err)
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := m.Run(short, Command{Name: "sleep", Args: []string{"10"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cut off: %v", err)
	}
}

// TestMachineCannotStart: a program that the kernel does not start has no process state (a corrupt file here; EAGAIN and
// ENOMEM at the fork are alike).
func TestMachineCannotStart(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "corrupt"), []byte("\x7fELF"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := searchPath
	searchPath = append(slices.Clone(path), dir)
	t.Cleanup(func() { searchPath = path })
	_, err := Machine{Log: slog.New(slog.DiscardHandler)}.Run(t.Context(), Command{Name: "corrupt"})
	if !errors.Is(err, syscall.ENOEXEC) {
		t.Errorf("a corrupt program: %v", err)
	}
}

// TestMachineLimit: a hanging program is killed with all its child processes, and the error names it.
func TestMachineLimit(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	hang := Command{Name: "sh", Args: []string{"-c", "sleep 600 & echo $! > " + pidFile + "; wait"}, Limit: 300 * time.Millisecond}
	_, err := Machine{Log: slog.New(slog.DiscardHandler)}.Run(t.Context(), hang)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "sleep 600") ||
		!strings.Contains(err.Error(), "did not end within 300ms") {
		t.Errorf("a program that hangs: %v", err)
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		stat, _ := os.ReadFile("/proc/" + strings.TrimSpace(string(text)) + "/stat")
		if _, fields, _ := strings.Cut(string(stat), ") "); fields == "" || fields[0] == 'Z' {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("what it started still runs: %s", stat)
		}
	}
}

func TestFailure(t *testing.T) {
	for _, test := range []struct {
		program string
		out     Output
		want    string
	}{
		{"apt-get", Output{Code: 100, Stderr: "Reading package lists...\nE: Unable to locate package nosuch\n"},
			"cannot do it: apt-get: E: Unable to locate package nosuch"},
		{"apt-get", Output{Code: 100, Stderr: "dpkg: error processing package haproxy (--configure):\n" +
			" installed haproxy package post-installation script subprocess returned error exit status 1\n" +
			"Errors were encountered while processing:\n haproxy\n" +
			"E: Sub-process /usr/bin/dpkg returned an error code (1)\n"},
			"cannot do it: apt-get: dpkg: error processing package haproxy (--configure): " +
				"installed haproxy package post-installation script subprocess returned error exit status 1"},
		{"dpkg", Output{Code: 2, Stderr: "dpkg: error: dpkg frontend lock was locked by another process with pid 9\n"},
			"cannot do it: dpkg: error: dpkg frontend lock was locked by another process with pid 9"},
		{"iptables-restore", Output{Code: 2, Stderr: "iptables-restore v1.8.9 (nf_tables): unknown option \"--nosuch\"\n" +
			"Error occurred at line: 3\nTry `iptables-restore -h' or 'iptables-restore --help' for more information.\n"},
			"cannot do it: iptables-restore: iptables-restore v1.8.9 (nf_tables): unknown option \"--nosuch\"; Error occurred at line: 3"},
		{"x", Output{Code: 3, Stdout: "said on stdout\n"}, "cannot do it: x: said on stdout"},
		{"x", Output{Code: 3}, "cannot do it: x: ended with status 3 and printed nothing"},
		{"x", Output{Code: -1, Signal: syscall.SIGSEGV}, "cannot do it: x: killed by signal segmentation fault"},
	} {
		if got := Failure("do it", test.program, test.out).Error(); got != test.want {
			t.Errorf("error\n\t%q, want\n\t%q", got, test.want)
		}
	}
}

func TestRetryLocked(t *testing.T) {
	r := &Runner{Progress: func(string) {}, LockTimeout: 50 * time.Millisecond, Pause: time.Millisecond}
	tries := 0
	err := r.RetryLocked(t.Context(), func() error {
		if tries++; tries < 3 {
			return errors.New("E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7")
		}
		return nil
	})
	if err != nil || tries != 3 {
		t.Errorf("%d tries: %v", tries, err)
	}

	tries = 0
	err = r.RetryLocked(t.Context(), func() error { tries++; return fmt.Errorf("cannot do it: no") })
	if err == nil || tries != 1 {
		t.Errorf("another error was tried %d times: %v", tries, err)
	}

	err = r.RetryLocked(t.Context(), func() error { return errors.New("Could not get lock") })
	if err == nil || err.Error() != "Could not get lock" || !errors.Is(err, host.ErrForNow) {
		t.Error(err)
	}
}
