package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// ErrUnavailable is wrapped by an Observer's error if this machine lacks the subject (no systemd, no dpkg) or the caller
// may not read it (not root). Planning then continues without it and reports that; applying refuses.
var ErrUnavailable = errors.New("not available on this machine")

// Unavailable returns an error with this text that wraps ErrUnavailable, and cause if it is not nil.
func Unavailable(text string, cause error) error { return &unavailableError{text: text, cause: cause} }

// Cannot returns the error "cannot DO: cause". It wraps ErrUnavailable if the cause is a missing permission.
func Cannot(do string, cause error) error {
	err := fmt.Errorf("cannot %s: %w", do, cause)
	if errors.Is(err, fs.ErrPermission) {
		return Unavailable(err.Error(), err)
	}
	return err
}

// unavailableError says in plain words what this machine lacks, without the text of ErrUnavailable.
type unavailableError struct {
	text  string
	cause error
}

func (e *unavailableError) Error() string { return e.text }

func (e *unavailableError) Is(target error) bool { return target == ErrUnavailable }

func (e *unavailableError) Unwrap() error { return e.cause }

// ErrForNow is wrapped by the error of an effect whose cause may go away without a change of the spec: an archive that
// cannot be reached, a lock that another program holds.
var ErrForNow = errors.New("it may go by itself")

// ForNow returns err so that it also wraps ErrForNow.
func ForNow(err error) error { return forNowError{err} }

type forNowError struct{ error }

func (forNowError) Is(target error) bool { return target == ErrForNow }

func (e forNowError) Unwrap() error { return e.error }

// shortages are the kernel's words (errno(3)) for a host without space, memory or descriptors, or whose disk failed.
var shortages = []string{
	"no space left on device", "disk quota exceeded", "read-only file system", "input/output error",
	"cannot allocate memory", "too many open files", "resource temporarily unavailable",
}

// IsForNow reports whether the cause of an effect's error may go away without a change of the spec: the error wraps
// ErrForNow, or names a shortage of the host. Of a program that failed there is only the text.
func IsForNow(err error) bool {
	text := strings.ToLower(err.Error())
	return errors.Is(err, ErrForNow) || slices.ContainsFunc(shortages, func(words string) bool { return strings.Contains(text, words) })
}

// ErrNoAnswer is wrapped by the error if a program runs but does not answer in time.
var ErrNoAnswer = errors.New("it does not answer")

// Observer is the read-only half of a host. Planning uses nothing else. Every method reads the current state.
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

// Host is a host that can be changed. Every writer ensures a state: if it is already reached, the writer does nothing.
type Host interface {
	Observer
	FileWriter
	PackageWriter
	UnitWriter
	FirewallWriter
	HAProxyWriter

	// Ready returns nil if this machine can be changed: the caller is root, systemd runs and apt exists. It changes
	// nothing.
	Ready(ctx context.Context) error
}
