package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// ErrUnavailable is wrapped by an Observer's error where this machine has no such thing (no systemd, no dpkg) or the
// caller may not look (not root). Planning then goes on without it and says so; applying refuses.
var ErrUnavailable = errors.New("not available on this machine")

// Unavailable is an error in the caller's words that wraps ErrUnavailable, and cause where that is not nil.
func Unavailable(text string, cause error) error { return &unavailableError{text: text, cause: cause} }

// Cannot is the error "cannot DO: cause". It wraps ErrUnavailable where the cause is that we may not look.
func Cannot(do string, cause error) error {
	err := fmt.Errorf("cannot %s: %w", do, cause)
	if errors.Is(err, fs.ErrPermission) {
		return Unavailable(err.Error(), err)
	}
	return err
}

// unavailableError says in plain words what this machine lacks, without the sentinel's own words.
type unavailableError struct {
	text  string
	cause error
}

func (e *unavailableError) Error() string { return e.text }

func (e *unavailableError) Is(target error) bool { return target == ErrUnavailable }

func (e *unavailableError) Unwrap() error { return e.cause }

// ErrForNow is wrapped by the error of an effect that failed for something beside this host that may go by itself: an
// archive that cannot be reached, a lock that another program holds.
var ErrForNow = errors.New("it may go by itself")

// ForNow is err, which wraps ErrForNow then.
func ForNow(err error) error { return forNowError{err} }

type forNowError struct{ error }

func (forNowError) Is(target error) bool { return target == ErrForNow }

func (e forNowError) Unwrap() error { return e.error }

// ErrNoAnswer is wrapped by the error of a question to a program that runs and does not answer in time.
var ErrNoAnswer = errors.New("it does not answer")

// Observer is the read-only half of a host: all that planning ever gets. Every method looks anew.
type Observer interface {
	FileReader
	PackageReader
	UnitReader
	FirewallReader
	HandoverReader
	HAProxyReader
	KeepalivedReader
	NetworkReader
	Checker
}

// Host is a host that can be changed. Every writer is an "ensure": done before, it does nothing and is no error.
type Host interface {
	Observer
	FileWriter
	PackageWriter
	UnitWriter
	FirewallWriter
	HAProxyWriter

	// Ready is nil where this machine can be changed: root, systemd running, apt there. It touches nothing.
	Ready(ctx context.Context) error
}
