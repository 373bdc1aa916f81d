package logger

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// TestUntil: a stopped agent does not log interrupted work as a failure. It logs all else, also at the end.
func TestUntil(t *testing.T) {
	var out strings.Builder
	log, err := New(&out, "text", "info")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	log = Until(ctx, log).With("service", "api")
	broken := fmt.Errorf("cannot read the routes: %w", context.Canceled)
	log.Warn("1: " + broken.Error())
	stop()
	log.Warn("2: " + broken.Error())
	log.Error("3", "err", broken)
	log.Warn("4: cannot read the routes: permission denied")
	log.Info("5: context canceled")
	var logged []string
	for line := range strings.Lines(out.String()) {
		logged = append(logged, strings.TrimPrefix(strings.TrimPrefix(line, "error: "), "warn: ")[:1])
	}
	if got := strings.Join(logged, ""); got != "145" {
		t.Errorf("logged %s:\n%s", got, out.String())
	}
}
