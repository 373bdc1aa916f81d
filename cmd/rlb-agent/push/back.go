package push

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/cmd/rlb-agent/remote"
)

// backTime is how long a host may take to go back by itself after the end of its trial.
const backTime = 30 * time.Second

// spec tells which spec a host has.
type spec int

const (
	unknown spec = iota
	isOld
	isNew
	isOther // neither: another push or an edit came first
)

// stands asks a host which spec it has for good.
func (p *Push) stands(ctx context.Context, t *target) spec {
	s, err := remote.Status(ctx, p.Remote, t.Host)
	switch {
	case err != nil, s.SpecDigest == "", s.Trial != nil && s.Trial.ID == p.ID:
		return unknown
	case s.Trial == nil && (s.Generation != s.ObservedGeneration || !s.Is("InSync")): // while it tries a spec it is never in sync
		return unknown
	case s.SpecDigest == t.before.SpecDigest:
		return isOld
	case s.SpecDigest == p.Doc.Digest:
		return isNew
	}
	return isOther
}

// goBack ends the trials, also if the push was interrupted: one host after the other, first the one that holds the
// virtual IPs. Hosts that do not answer go back by themselves; goBack asks them until they must have gone back.
func (p *Push) goBack(ctx context.Context, order []*target, cause error) error {
	if ctx.Err() != nil {
		cause = errors.New("interrupted")
	}
	ctx = context.WithoutCancel(ctx)
	tried := slices.DeleteFunc(slices.Clone(order), func(t *target) bool { return !t.tried })
	slices.Reverse(tried)
	p.logf("%v\ngoing back on %s", cause, sequence(tried))
	results := make([]spec, len(tried))
	for first := true; first || p.mayAnswer(tried, results); first = false {
		if !first {
			pause(ctx, askEvery)
		}
		for i, t := range tried {
			if results[i] == unknown {
				results[i] = p.endTrial(ctx, t)
			}
		}
	}
	return p.outcome(tried, results, cause)
}

// mayAnswer reports whether a host in an unknown state may still go back.
func (p *Push) mayAnswer(tried []*target, results []spec) bool {
	for i, t := range tried {
		if results[i] == unknown && time.Until(p.deadline(t)) > -backTime {
			return true
		}
	}
	return false
}

// endTrial makes the host go back now, and returns the spec that it has then.
func (p *Push) endTrial(ctx context.Context, t *target) spec {
	answer, err := p.Remote.Call(ctx, t.Host, remote.Call{Args: p.common("try", "--end"), Limit: p.Timeout + backTime})
	switch {
	case err != nil:
		p.logf("%v", err)
		return unknown
	case answer.Code != 0:
		p.show(t.Host, answer)
	}
	return p.stands(ctx, t)
}

// outcome reports which hosts have which spec.
func (p *Push) outcome(tried []*target, results []spec, cause error) error {
	var old, other, whole, lost []*target
	for i, t := range tried {
		switch results[i] {
		case isOld:
			old = append(old, t)
		case isOther:
			other = append(other, t)
		case isNew:
			whole = append(whole, t)
		default:
			lost = append(lost, t)
		}
	}
	switch {
	case len(whole) == len(tried):
		return nil
	case len(old) == len(tried):
		return &remote.Failure{Code: Failed, Err: fmt.Errorf("%w\nwhat was there before is in force again on %s", cause, names(old))}
	}
	lines := []string{cause.Error()}
	for _, part := range []struct {
		hosts []*target
		text  string
	}{
		{whole, p.Doc.File + " is in force on %s"},
		{old, "what was there before is in force on %s"},
		{other, "another spec came into force meanwhile on %s"},
		{lost, "not known for %s: the trial there ends by itself; see rlb-agent status on that host"},
	} {
		if len(part.hosts) > 0 {
			lines = append(lines, fmt.Sprintf(part.text, names(part.hosts)))
		}
	}
	if len(whole) > 0 {
		lines = append(lines, "run the same push again: it finishes on the other hosts")
	}
	code := NeedsHuman
	if len(old)+len(other) == len(tried) {
		code = Failed
	}
	return &remote.Failure{Code: code, Err: errors.New(strings.Join(lines, "\n"))}
}
