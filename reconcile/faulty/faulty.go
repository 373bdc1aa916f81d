// Package faulty injects faults for tests: an effect on a real host fails, or the agent dies at it. An effect is a call of
// one of the host's writers; [Faults.Effect] is the hook around each effect. Only a build with the tag "faults" contains
// this package. A release never does.
package faulty

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Faults are the faults of this process.
type Faults struct {
	list []fault

	mu    sync.Mutex
	count int // effects so far
}

// fault is one fault.
type fault struct {
	action string
	number int    // at the effect with this number, counted from 1, or
	name   string // at the effects whose names begin so
	path   string // the file of "count"
	over   bool   // its point was reached before
}

// Parse reads faults that are separated by semicolons:
//
//	count:FILE         append the name of each effect to a file
//	kill-before:POINT  SIGKILL this process before the effect
//	kill-after:POINT   SIGKILL this process after the effect
//	torn:POINT         SIGKILL this process when an effect that writes a file has written half of the temporary file
//	stop-before:POINT  SIGSTOP this process before the effect, until a SIGCONT
//	error:POINT        the effect is not done, and fails
//	error-once:POINT   the same, at the first matching effect only
//
// A point is the number of an effect, counted from 1, or the beginning of the names of effects ("LoadFirewall").
func Parse(text string) (*Faults, error) {
	f := new(Faults)
	for part := range strings.SplitSeq(text, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		action, point, _ := strings.Cut(part, ":")
		one := fault{action: action, name: point}
		switch action {
		case "count":
			one.name, one.path = "", point
		case "kill-before", "kill-after", "torn", "stop-before", "error", "error-once":
		default:
			return nil, fmt.Errorf("cannot understand the fault %q", part)
		}
		if point == "" {
			return nil, fmt.Errorf("cannot understand the fault %q: where?", part)
		}
		if n, err := strconv.Atoi(point); err == nil {
			one.number, one.name = n, ""
		}
		f.list = append(f.list, one)
	}
	return f, nil
}

func (f fault) at(number int, name string) bool {
	return f.number == number || f.name != "" && strings.HasPrefix(name, f.name)
}

// Effect does an effect, or injects the fault for it. torn leaves what a crash in the middle of the effect would leave; it
// is nil if the effect writes no file.
func (f *Faults) Effect(name string, torn, do func() error) error {
	f.mu.Lock()
	f.count++
	number := f.count
	f.mu.Unlock()
	for i, one := range f.list {
		f.mu.Lock()
		over := f.list[i].over
		f.list[i].over = over || one.at(number, name)
		f.mu.Unlock()
		switch {
		case one.action == "count":
			if err := appendLine(one.path, name); err != nil {
				return err
			}
		case !one.at(number, name):
		case one.action == "kill-before":
			signal(syscall.SIGKILL)
		case one.action == "torn" && torn != nil:
			if err := torn(); err != nil {
				return err
			}
			signal(syscall.SIGKILL)
		case one.action == "stop-before" && !over:
			signal(syscall.SIGSTOP)
		case one.action == "error" || one.action == "error-once" && !over:
			return fmt.Errorf("injected fault at %s", name)
		}
	}
	err := do()
	for _, one := range f.list {
		if one.action == "kill-after" && one.at(number, name) {
			signal(syscall.SIGKILL)
		}
	}
	return err
}

// signal sends a signal to this process and waits until it has arrived.
func signal(s syscall.Signal) {
	_ = syscall.Kill(os.Getpid(), s) // a process may always signal itself
	time.Sleep(50 * time.Millisecond)
	if s == syscall.SIGKILL {
		select {}
	}
}

func appendLine(path, line string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(line + "\n")
	return errors.Join(err, file.Close())
}
