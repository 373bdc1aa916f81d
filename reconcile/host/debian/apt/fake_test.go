package apt

import (
	"log/slog"
	"testing"

	"rlb.dev/rlb-agent/reconcile/host/debian/program/recorded"
)

// newManager makes a Manager with recorded answers.
func newManager(t *testing.T, answers ...recorded.Answer) (*Manager, *recorded.System) {
	programs, f := recorded.Runner(t, answers...)
	m := New(programs, nil, slog.New(slog.DiscardHandler))
	m.lists, m.dpkg, m.run = "/nonexistent", "", t.TempDir()
	return m, f
}
