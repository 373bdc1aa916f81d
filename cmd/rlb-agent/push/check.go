package push

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"rlb.dev/rlb-agent/cmd/rlb-agent/remote"
	"rlb.dev/rlb-agent/reconcile/host"
)

// check asks every host for its state and for what it would do. It changes nothing, and reports all obstacles at once.
func (p *Push) check(ctx context.Context) ([]*target, error) {
	targets := make([]*target, len(p.Hosts))
	if err := p.onEach(func(i int, h remote.Host) (err error) {
		targets[i], err = p.look(ctx, h)
		return err
	}); err != nil {
		return nil, err
	}
	plans := make([]remote.Answer, len(p.Hosts))
	err := p.onEach(func(i int, _ remote.Host) (err error) {
		plans[i], err = p.plan(ctx, targets[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	p.summary(targets, plans)
	return targets, nil
}

// onEach calls do for all hosts concurrently. The error has a line for each failure. Its exit code is that of the
// failure to fix first: a host that cannot be asked comes before a refused spec.
func (p *Push) onEach(do func(i int, h remote.Host) error) error {
	errs := make([]error, len(p.Hosts))
	remote.Each(p.Hosts, func(i int, h remote.Host) { errs[i] = do(i, h) })
	code := 0
	for _, err := range errs {
		if failure := (*remote.Failure)(nil); errors.As(err, &failure) && (code == 0 || failure.Code < code) {
			code = failure.Code
		} else if err != nil && failure == nil {
			code = Unable
		}
	}
	if code == 0 {
		return nil
	}
	return &remote.Failure{Code: code, Err: fmt.Errorf("%w\nnothing was changed", errors.Join(errs...))}
}

// look reports whether the host can take part.
func (p *Push) look(ctx context.Context, h remote.Host) (*target, error) {
	s, err := remote.Status(ctx, p.Remote, h)
	if err != nil {
		return nil, err
	}
	inSync := s.Condition("InSync")
	switch theirs, ours := major(s.Versions.Agent), major(p.Version); {
	case theirs != "" && ours != "" && theirs != ours:
		return nil, fmt.Errorf("cannot push to %s: it has rlb-agent %s, this machine has %s", h.Name, remote.Line(s.Versions.Agent), p.Version)
	case s.Trial != nil:
		return nil, &remote.Failure{Code: Failed, Err: fmt.Errorf("cannot push to %s: %s", h.Name, orReason(inSync.Message))}
	case inSync.Status != "True":
		return nil, fmt.Errorf("cannot push to %s: it is not in sync with its own spec: %s", h.Name, orReason(inSync.Message, inSync.Reason, s.Condition("Ready").Message))
	case s.Generation != s.ObservedGeneration:
		return nil, fmt.Errorf("cannot push to %s: its spec file is not in force yet (generation %d; in force is %d)", h.Name, s.Generation, s.ObservedGeneration)
	}
	return &target{Host: h, before: s, pending: s.SpecDigest != p.Doc.Digest}, nil
}

func orReason(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return remote.Line(text)
		}
	}
	return "its status gives no reason"
}

var majorVersion = regexp.MustCompile(`^v?(\d+)\.`)

// major returns the first number of a version; "" if it has none, as a build from a commit.
func major(version string) string {
	if m := majorVersion.FindStringSubmatch(version); m != nil {
		return m[1]
	}
	return ""
}

// plan makes the host check the spec with its programs, and returns what the host would do.
func (p *Push) plan(ctx context.Context, t *target) (remote.Answer, error) {
	dryRun := append([]string{"--once", "--dry-run", "--log-level", "error", "--spec", "-"}, p.takeOver()...)
	for _, args := range [][]string{{"validate", "--log-level", "warn", "-"}, dryRun} {
		answer, err := p.Remote.Call(ctx, t.Host, remote.Call{Args: args, Stdin: p.Doc.Data, Limit: 2 * remote.AskTime})
		if err != nil {
			return answer, err
		}
		if answer.Code == 0 && args[0] == "validate" {
			p.show(t.Host, answer) // show its warnings
			continue
		}
		switch answer.Code {
		case 0, 1:
			return answer, nil
		case Refused:
			p.show(t.Host, answer)
			return answer, &remote.Failure{Code: Refused, Err: fmt.Errorf("cannot push to %s: it refuses %s", t.Name, p.Doc.File)}
		}
		return answer, fmt.Errorf("cannot push to %s: %s", t.Name, remote.Brief(answer))
	}
	return remote.Answer{}, nil
}

// summary prints what the push will do. If several hosts have the same plan, it is printed once.
func (p *Push) summary(targets []*target, plans []remote.Answer) {
	for _, t := range targets {
		s := t.before
		fmt.Fprintln(p.Out, remote.Line(fmt.Sprintf("%s: %s, generation %d, sha256:%.12s, in sync%s", t.Name, s.Role, s.Generation, s.SpecDigest, drained(s.Drained))))
	}
	if holders := holders(targets); holders != 1 {
		p.logf("note: %d of these hosts hold the virtual IPs", holders)
	}
	shown := map[string]bool{}
	for i, t := range targets {
		text := plans[i].Stdout
		if shown[text] || !t.pending {
			continue
		}
		shown[text] = true
		var same []*target
		for j, other := range targets {
			if other.pending && plans[j].Stdout == text {
				same = append(same, other)
			}
		}
		fmt.Fprintf(p.Out, "on %s:\n", names(same))
		fmt.Fprint(p.Out, remote.Prefixed("    ", text))
	}
	for _, t := range targets {
		if !t.pending {
			fmt.Fprintf(p.Out, "on %s: nothing to do, this spec is in force there\n", t.Name)
		}
	}
	if order := applyOrder(targets); len(order) > 0 {
		fmt.Fprintf(p.Out, "order: %s; each goes back by itself after %v unless all have it\n", sequence(order), p.Timeout.Round(time.Second))
	}
}

func drained(is bool) string {
	if is {
		return ", drained"
	}
	return ""
}

// holders counts the hosts that hold the virtual IPs.
func holders(targets []*target) (n int) {
	for _, t := range targets {
		if t.before.Role == host.RoleMaster {
			n++
		}
	}
	return n
}
