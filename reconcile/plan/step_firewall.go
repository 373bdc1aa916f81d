package plan

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// firewallChange makes the agent's chain hold exactly the wanted rules, with one jump to the chain, first in INPUT; or it
// removes chain and jump. It is one transaction of iptables-restore: the rules are in force at every moment.
type firewallChange struct {
	family api.Family
	before host.Firewall
	want   []string    // rules of the chain
	drop   []string    // rules of INPUT to be removed: every existing jump, and the rules of the original system
	add    []insertion // rules of INPUT to be restored in a teardown: the rules of the original system
	remove bool
}

// step is the change as a step.
func (s firewallChange) step() Step {
	verb, drift := "repair", fmt.Sprintf("the %v firewall rules were changed: put back", s.family)
	switch {
	case s.remove:
		verb, drift = "remove", ""
	case s.before.Chain == nil:
		verb, drift = "load", fmt.Sprintf("the %v firewall rules were removed: put back", s.family)
	}
	return Step{
		Verb: verb, Object: fmt.Sprintf("%v firewall", s.family), Text: fmt.Sprintf("%s the %v firewall rules", verb, s.family), Drift: drift,
		Serving: true, diff: s.diff, Undo: []Step{s.reset()}, Do: s.load,
	}
}

// needed reports whether the firewall differs from what is wanted.
func (s firewallChange) needed() bool {
	if s.remove {
		return s.before.Chain != nil || len(s.drop)+len(s.add) > 0
	}
	inPlace := len(s.before.Input) > 0 && s.before.Input[0] == render.Jump && len(s.drop) == 1
	return !inPlace || s.before.Chain == nil || !slices.Equal(s.before.Chain, s.want)
}

func (s firewallChange) diff() string {
	name := fmt.Sprintf("%v filter table", s.family)
	return udiff.Unified(name, name, joined(s.before.Input, s.before.Chain), joined(s.after().Input, s.after().Chain))
}

// after is the state after the step.
func (s firewallChange) after() host.Firewall {
	var f host.Firewall
	dropped := slices.Clone(s.drop)
	if !s.remove {
		f.Chain = s.want
		f.Input = append(f.Input, render.Jump)
	}
	for _, rule := range s.before.Input {
		if i := slices.Index(dropped, rule); i >= 0 {
			dropped = slices.Delete(dropped, i, i+1)
			continue
		}
		f.Input = append(f.Input, rule)
	}
	for _, add := range s.add {
		f.Input = slices.Insert(f.Input, add.at, add.rule)
	}
	return f
}

func joined(lists ...[]string) string {
	var b strings.Builder
	for _, rule := range slices.Concat(lists...) {
		b.WriteString(rule + "\n")
	}
	return b.String()
}

// load records the rules of INPUT that are removed, and loads the new rules.
func (s firewallChange) load(ctx context.Context, t *Tools) error {
	for _, rule := range s.drop {
		if rule != render.Jump && !slices.Contains(t.Memory.Rules, rule) {
			if len(t.Memory.Rules) == 0 {
				t.Memory.Input = slices.DeleteFunc(slices.Clone(s.before.Input), func(r string) bool { return r == render.Jump })
			}
			t.Memory.Rules = append(t.Memory.Rules, rule)
			if err := t.Memory.Save(ctx, t.Host); err != nil {
				return err
			}
		}
	}
	return t.Host.LoadFirewall(ctx, s.family, s.rules())
}

// rules is the step in the format of iptables-restore --noflush.
func (s firewallChange) rules() string {
	var b strings.Builder
	b.WriteString("*filter\n")
	fmt.Fprintf(&b, ":%s - [0:0]\n", render.Chain) // creates the chain, or empties it
	for _, rule := range s.want {
		b.WriteString(rule + "\n")
	}
	for _, rule := range s.drop {
		b.WriteString(strings.Replace(rule, "-A ", "-D ", 1) + "\n")
	}
	if s.remove {
		fmt.Fprintf(&b, "-X %s\n", render.Chain)
	} else {
		b.WriteString(strings.Replace(render.Jump, "-A INPUT", "-I INPUT 1", 1) + "\n")
	}
	for _, add := range s.add {
		b.WriteString(strings.Replace(add.rule, "-A INPUT", fmt.Sprintf("-I INPUT %d", add.at+1), 1) + "\n")
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// insertion is a rule of INPUT that is inserted at an index.
type insertion struct {
	at   int
	rule string
}

// comeBack finds the positions at which the removed rules are restored among the present rules: each before the first of
// its former successors. The insertions are in order.
func comeBack(now, before, taken []string) []insertion {
	before = slices.Clone(before)
	missing := map[string]int{}
	for _, rule := range taken {
		if !slices.Contains(before, rule) {
			before = append(before, rule)
		}
		missing[rule] = -count(now, rule)
	}
	for _, rule := range before {
		missing[rule]++
	}
	type place struct {
		rule string
		back bool
	}
	var all []place
	for _, rule := range now {
		all = append(all, place{rule, false})
	}
	for i := len(before) - 1; i >= 0; i-- {
		rule := before[i]
		if !slices.Contains(taken, rule) || missing[rule] <= 0 {
			continue
		}
		missing[rule]--
		at := len(all)
		for _, next := range before[i+1:] {
			if j := slices.IndexFunc(all, func(p place) bool { return p.rule == next }); j >= 0 {
				at = j
				break
			}
		}
		all = slices.Insert(all, at, place{rule, true})
	}
	var back []insertion
	for i, p := range all {
		if p.back {
			back = append(back, insertion{i, p.rule})
		}
	}
	return back
}

func count(rules []string, rule string) int {
	n := 0
	for _, r := range rules {
		if r == rule {
			n++
		}
	}
	return n
}

// reset restores the previous chain, jump and rules.
func (s firewallChange) reset() Step {
	return Step{Verb: "put back", Object: fmt.Sprintf("%v firewall", s.family), Text: fmt.Sprintf("put back the %v firewall rules", s.family), Do: s.putBack}
}

func (s firewallChange) putBack(ctx context.Context, t *Tools) error {
	now, err := t.Host.Firewall(ctx, s.family)
	if err != nil {
		return err
	}
	before := s.before
	if slices.Equal(now.Input, before.Input) && slices.Equal(now.Chain, before.Chain) && (now.Chain == nil) == (before.Chain == nil) {
		return nil // the rules were not loaded; the cause would prevent these rules too
	}
	var b strings.Builder
	b.WriteString("*filter\n")
	fmt.Fprintf(&b, ":%s - [0:0]\n", render.Chain)
	for _, rule := range before.Chain {
		b.WriteString(rule + "\n")
	}
	// From the present state to the previous one: remove the rules that were added, insert the removed rules at their
	// positions.
	for _, rule := range now.Input {
		if rule == render.Jump || slices.Contains(s.drop, rule) { // also rules that were never removed
			b.WriteString(strings.Replace(rule, "-A ", "-D ", 1) + "\n")
		}
	}
	for i, rule := range before.Input {
		if slices.Contains(s.drop, rule) {
			fmt.Fprintf(&b, "%s\n", strings.Replace(rule, "-A INPUT", fmt.Sprintf("-I INPUT %d", i+1), 1))
		}
	}
	if before.Chain == nil {
		fmt.Fprintf(&b, "-X %s\n", render.Chain)
	}
	b.WriteString("COMMIT\n")
	return t.Host.LoadFirewall(ctx, s.family, b.String())
}
