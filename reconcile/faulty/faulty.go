// Package faulty lets a real host's effects fail, or the agent die at them, as a test says. An effect is a call of one of
// the host's writers; [Faults.Effect] is the hook around them. Only a build with the tag "faults" contains it; a release never does.
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

// Faults are what is to go wrong in this process.
type Faults struct {
	list []fault

	mu    sync.Mutex
	count int // effects so far
}

// fault is one thing that goes wrong.
type fault struct {
	action string
	number int    // at this effect, counted from 1, or
	name   string // at those whose name begins so
	path   string // of "count"
	over   bool   // it was at its point once
}

// Parse reads faults, separated by semicolons:
//
//	count:FILE         append the name of each effect to a file
//	kill-before:POINT  SIGKILL this process before the effect
//	kill-after:POINT   SIGKILL this process after it
//	torn:POINT         SIGKILL it while the effect, if that writes a file, has written half of a temporary one
//	stop-before:POINT  SIGSTOP this process before the effect, until a SIGCONT
//	error:POINT        the effect is not done, and fails
//	error-once:POINT   the same, at the first of the effects that are meant
//
// A point is a number, the first effect being 1, or the beginning of effects' names ("LoadFirewall").
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

// Effect does an effect, or what is to happen instead. torn leaves what a crash in the middle of it would, or is nil.
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

// signal sends this process a signal and waits until it has come.
func signal(s syscall.Signal) {
	_ = syscall.Kill(os.Getpid(), s) // one can always signal oneself
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
