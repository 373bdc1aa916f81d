// Package push brings one spec into force on all load balancers, the standby first. Each host tries the spec, and goes
// back by itself unless all confirm it: whatever fails, all hosts end with the same spec.
package push

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/cmd/rlb-agent/remote"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/status"
)

// Exit codes of a push, as everywhere in rlb-agent.
const (
	Different  = 1 // --dry-run found differences, or the answer was no
	Unable     = 2 // a host cannot be reached or is not in sync; nothing was touched
	Refused    = 3 // a host refuses the spec; nothing was touched
	Failed     = 4 // each host has its former spec, or another one that came first
	NeedsHuman = 5 // a host could not be brought back, or its state is not known
)

// Push is one push.
type Push struct {
	Remote remote.Caller
	Hosts  []remote.Host
	Doc    *api.Document

	ID          string        // of the trials
	By          string        // the user who pushes
	Timeout     time.Duration // of each host's trial
	LockTimeout time.Duration // how long a host waits for another rlb-agent to end
	Version     string        // of this agent
	Sees        Outside       // tests the virtual IPs from outside; nil: not possible
	DryRun      bool
	TakeOver    []string // MACs of machines from which a host may take a virtual IP
	Ask         func(question string) bool

	Out, Log io.Writer // results, and progress

	logging sync.Mutex // guards Log: several hosts are asked at once
}

// target is a host with its state.
type target struct {
	remote.Host
	before  status.Status
	pending bool      // the spec is not in force on it yet
	tried   bool      // its trial may have begun
	began   time.Time // the trial began at this time or later
	keptOut bool      // it stays out until the others have the new virtual router
}

// Run pushes the spec. The error is a *remote.Failure with the exit code.
func (p *Push) Run(ctx context.Context) error {
	targets, err := p.check(ctx)
	if err != nil {
		return err
	}
	order := applyOrder(targets)
	switch {
	case len(order) == 0:
		fmt.Fprintf(p.Out, "nothing to do: %s is in force on %s\n", p.Doc.File, names(targets))
		return nil
	case p.DryRun:
		fmt.Fprintln(p.Out, "nothing was changed")
		return &remote.Failure{Code: Different}
	case !p.Ask(fmt.Sprintf("bring %s into force on %s?", p.Doc.File, sequence(order))):
		fmt.Fprintln(p.Out, "nothing was changed")
		return &remote.Failure{Code: Different}
	}
	reached := p.reached(ctx)
	for i, t := range order {
		if err := p.try(ctx, t); err != nil {
			if code := cleanRefusal(err); code != 0 && i == 0 {
				return &remote.Failure{Code: code, Err: err}
			}
			return p.goBack(ctx, order, err)
		}
		if err := p.verify(ctx, t, reached, i < len(order)-1); err != nil {
			return p.goBack(ctx, order, err)
		}
	}
	for _, t := range order {
		if !t.keptOut {
			continue
		}
		if err := p.verify(ctx, t, reached, false); err != nil {
			return p.goBack(ctx, order, err)
		}
	}
	if err := p.oneHolder(ctx, targets); err != nil {
		return p.goBack(ctx, order, err)
	}
	if err := p.confirm(ctx, order); err != nil {
		return err
	}
	fmt.Fprintf(p.Out, "done: %s is in force on %s (sha256:%.12s)\n", p.Doc.File, names(targets), p.Doc.Digest)
	return nil
}

// applyOrder returns the hosts that get the spec: the one that holds the virtual IPs last.
func applyOrder(targets []*target) []*target {
	order := slices.DeleteFunc(slices.Clone(targets), func(t *target) bool { return !t.pending })
	rank := func(t *target) int {
		if t.before.Role == host.RoleMaster {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(order, func(a, b *target) int { return rank(a) - rank(b) })
	return order
}

// logf prints progress.
func (p *Push) logf(format string, args ...any) { p.log(fmt.Sprintf(format+"\n", args...)) }

func (p *Push) log(text string) {
	p.logging.Lock()
	defer p.logging.Unlock()
	fmt.Fprint(p.Log, text)
}

// show prints the messages of a host.
func (p *Push) show(h remote.Host, a remote.Answer) {
	text := a.Stderr
	if strings.HasPrefix(text, "-:") { // the host read the spec from standard input: name the file instead
		text = p.Doc.File + text[1:]
	}
	p.log(remote.Prefixed(h.Name+": ", strings.ReplaceAll(text, "\n-:", "\n"+p.Doc.File+":")))
}

// names returns "lb1, lb2 and lb3".
func names(targets []*target) string { return join(targets, ", ", " and ") }

// sequence returns "lb2, then lb1".
func sequence(targets []*target) string { return join(targets, ", then ", ", then ") }

func join(targets []*target, between, last string) string {
	var b strings.Builder
	for i, t := range targets {
		switch {
		case i == 0:
		case i == len(targets)-1:
			b.WriteString(last)
		default:
			b.WriteString(between)
		}
		b.WriteString(t.Name)
	}
	return b.String()
}

// pause waits for d, and reports whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
