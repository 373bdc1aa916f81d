package push

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"rlb.dev/rlb-agent/cmd/rlb-agent/remote"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/status"
)

const (
	confirmMargin = 2 * time.Second // longest time of a confirmation until it takes effect
	askEvery      = 500 * time.Millisecond
	longestVerify = 20 * time.Second
)

// refusal is the answer of a host that changed nothing.
type refusal struct {
	code int
	error
}

// cleanRefusal returns the exit code if a host refused a trial and changed nothing, else 0.
func cleanRefusal(err error) int {
	if r := (refusal{}); errors.As(err, &r) {
		return r.code
	}
	return 0
}

// common adds the flags of all calls that change a host.
func (p *Push) common(args ...string) []string {
	args = append(args, "--id", p.ID, "--log-level", "warn", "--lock-timeout", p.LockTimeout.String())
	if p.By != "" {
		args = append(args, "--by", p.By)
	}
	return args
}

// takeOver returns the flags that let a host take virtual IPs from other machines.
func (p *Push) takeOver() (args []string) {
	for _, mac := range p.TakeOver {
		args = append(args, "--take-over", mac)
	}
	return args
}

// try brings the spec into force on a host until its trial ends.
func (p *Push) try(ctx context.Context, t *target) error {
	p.logf("%s: trying", t.Name)
	t.tried, t.began = true, time.Now()
	args := append(p.common("try", "--detach", "--timeout", p.Timeout.String(), "--sha256", p.Doc.Digest, "--replaces", t.before.SpecDigest), p.takeOver()...)
	answer, err := p.Remote.Call(ctx, t.Host, remote.Call{Args: append(args, "-"), Stdin: p.Doc.Data, Limit: p.Timeout})
	if err != nil {
		return err
	}
	if answer.Code == 0 {
		return nil
	}
	p.show(t.Host, answer)
	err = fmt.Errorf("cannot bring %s into force on %s: %s", p.Doc.File, t.Name, remote.Brief(answer))
	if answer.Code == Refused || answer.Code == Unable {
		return refusal{answer.Code, err}
	}
	return err
}

// verify waits until a host serves with the spec as well as before, and clients reach what they reached before. more:
// further hosts follow, so the host may wait for them outside of the virtual router.
func (p *Push) verify(ctx context.Context, t *target, reached []string, more bool) error {
	err := p.eventually(ctx, func(ctx context.Context) error {
		if err := p.serves(ctx, t, more); err != nil {
			return err
		}
		return p.answer(ctx, reached)
	})
	switch {
	case err != nil:
		return fmt.Errorf("cannot verify %s: %w", t.Name, err)
	case t.keptOut:
		p.logf("%s: waits for the others, since the virtual router changes", t.Name)
	case len(reached) > 0:
		p.logf("%s: serves with it, and clients reach %s", t.Name, some(reached))
	default:
		p.logf("%s: serves with it", t.Name)
	}
	return nil
}

// eventually repeats check until it succeeds or its share of the trial's time is over. The error is from the last
// complete check.
func (p *Push) eventually(ctx context.Context, check func(context.Context) error) (found error) {
	ctx, cancel := context.WithTimeout(ctx, min(longestVerify, p.Timeout/3))
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if found == nil || ctx.Err() == nil {
			found = err
		}
		if !pause(ctx, askEvery) {
			return found
		}
	}
}

func (p *Push) serves(ctx context.Context, t *target, more bool) error {
	s, err := remote.Status(ctx, p.Remote, t.Host)
	serving := s.Condition("Serving")
	t.keptOut = more && serving.Reason == status.KeptOut
	switch {
	case err != nil:
		return err
	case !p.tries(s):
		return errors.New("its trial is over")
	case t.before.Is("Serving") && serving.Status != "True" && !t.keptOut:
		return fmt.Errorf("it does not serve: %s", orReason(serving.Message, serving.Reason))
	}
	return nil
}

// tries reports whether the host is trying the spec of this push.
func (p *Push) tries(s status.Status) bool {
	return s.Trial != nil && s.Trial.ID == p.ID && s.Trial.SpecDigest == p.Doc.Digest
}

// oneHolder waits until exactly one host holds the virtual IPs, if exactly one held them before.
func (p *Push) oneHolder(ctx context.Context, targets []*target) error {
	if holders(targets) != 1 {
		return nil
	}
	err := p.eventually(ctx, func(ctx context.Context) error { return p.holding(ctx, targets) })
	if err != nil {
		return fmt.Errorf("cannot verify the hosts: %w", err)
	}
	return nil
}

// holding returns an error unless exactly one host holds the virtual IPs.
func (p *Push) holding(ctx context.Context, targets []*target) error {
	holds, failed := make([]bool, len(targets)), make([]error, len(targets))
	remote.Each(p.Hosts, func(i int, h remote.Host) {
		s, err := remote.Status(ctx, p.Remote, h)
		holds[i], failed[i] = s.Role == host.RoleMaster, err
	})
	if err := errors.Join(failed...); err != nil {
		return err
	}
	var holding []string
	for i, is := range holds {
		if is {
			holding = append(holding, targets[i].Name)
		}
	}
	switch len(holding) {
	case 1:
		return nil
	case 0:
		return errors.New("no host holds the virtual IPs")
	}
	return fmt.Errorf("%s hold the virtual IPs at the same time", strings.Join(holding, " and "))
}

// confirm keeps the spec on all hosts, one after the other: a confirmation reloads systemd, and during a reload
// keepalived's check may fail on a slow host. If confirm were interrupted between the first and the last confirmation,
// the hosts would have two specs. So it ignores ctx once it has begun.
func (p *Push) confirm(ctx context.Context, order []*target) error {
	if ctx.Err() != nil {
		return p.goBack(ctx, order, errors.New("interrupted"))
	}
	for i, t := range order {
		if time.Until(p.deadline(t)) < confirmMargin*time.Duration(i+1) {
			return p.goBack(ctx, order, fmt.Errorf("cannot confirm: the trial on %s is over before all have it; give more time with --timeout", t.Name))
		}
	}
	ctx = context.WithoutCancel(ctx)
	var failed []error
	for i, t := range order {
		p.logf("%s: confirming", t.Name)
		err := p.confirmOn(ctx, t)
		failed = append(failed, err)
		if i == 0 && err != nil {
			break
		}
	}
	if err := errors.Join(failed...); err != nil {
		return p.goBack(ctx, order, err)
	}
	return nil
}

// confirmOn repeats the confirmation while there is time for it: after a cut connection it is not known whether the
// call took effect.
func (p *Push) confirmOn(ctx context.Context, t *target) error {
	for {
		answer, err := p.Remote.Call(ctx, t.Host, remote.Call{Args: p.common("confirm"), Limit: p.Timeout})
		switch {
		case err == nil && answer.Code == 0:
			return nil
		case err == nil && p.stands(ctx, t) == isNew: // the answer to the previous call was lost
			return nil
		case err == nil:
			return fmt.Errorf("cannot confirm on %s: %s", t.Name, remote.Brief(answer))
		case time.Until(p.deadline(t)) < confirmMargin:
			return err
		}
		pause(ctx, askEvery)
	}
}

// deadline returns the earliest time at which the host's trial ends.
func (p *Push) deadline(t *target) time.Time { return t.began.Add(p.Timeout) }
