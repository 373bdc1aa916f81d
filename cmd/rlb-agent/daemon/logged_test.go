package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestWhatIsCanceledIsNoError: a daemon that is stopped while it looks at the host logs no error.
func TestWhatIsCanceledIsNoError(t *testing.T) {
	var log strings.Builder
	l := logged{slog.New(slog.NewTextHandler(&log, nil)), map[topic]string{}}
	canceled := errors.Join(context.Canceled, fmt.Errorf("cannot read the IPv4 firewall: %w", context.Canceled))
	if l.logError(onRun, canceled) || log.Len() > 0 {
		t.Errorf("logged: %s", log.String())
	}
	if !l.logError(onRun, errors.New("cannot read the IPv4 firewall: it hangs")) || !strings.Contains(log.String(), "it hangs") {
		t.Errorf("not logged: %s", log.String())
	}
}
