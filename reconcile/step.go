package reconcile

import (
	"context"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// Step is one thing that must be done to a host. Its String is the line of the dry run, of the log and the start of
// an error.
type Step interface {
	String() string
	// Diff is what changes, as a unified diff, or "".
	Diff() string

	apply(ctx context.Context, t *tools) error
	// undo are the steps that bring back what was there before. Done in the order of what they undo, not backwards:
	// first the files are as before, then the units load them (see wayBack).
	undo() []Step
}

// tools are what steps work with.
type tools struct {
	host    host.Host
	memory  *Memory
	brought []string // packages that the steps installed
	rejoin  []string // the command that waits for a peer to leave the former virtual router; none: nobody waits
}

// plain is embedded by steps without a diff and without a way back of their own.
type plain struct{}

func (plain) Diff() string { return "" }
func (plain) undo() []Step { return nil }

// serving says whether any of the steps touches what clients or peers can see, so that the host must be verified.
func serving(steps []Step) bool {
	for _, s := range steps {
		switch s := s.(type) {
		case startUnit, reloadUnit, rejoin, rejoinFormer, restartUnit, loadFirewall, restoreFile, setServer, addServer, retireServer:
			return true
		case writeFile:
			if s.kind == render.HAProxyConfig || s.kind == render.KeepalivedConfig {
				return true
			}
		}
	}
	return false
}
