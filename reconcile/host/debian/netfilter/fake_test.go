package netfilter

import (
	"testing"

	"rlb.dev/rlb-agent/reconcile/host/debian/program/recorded"
)

// newTables makes Tables with recorded answers, as root.
func newTables(t *testing.T, answers ...recorded.Answer) (*Tables, *recorded.System) {
	programs, f := recorded.Runner(t, answers...)
	return &Tables{programs: programs, root: true, proc: t.TempDir()}, f
}
