package fake

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// table is a filter table: the rules of each chain, including "-A CHAIN".
type table map[string][]string

func newTable() table { return table{"INPUT": {}, "FORWARD": {}, "OUTPUT": {}} }

func (t table) clone() table {
	c := table{}
	for name, rules := range t {
		c[name] = slices.Clone(rules)
	}
	return c
}

func (h *Host) canFirewall(family api.Family) error {
	switch {
	case h.NoIPv6 && family == api.IPv6:
		return unavailable("read the IPv6 firewall: this machine has no IPv6")
	case h.Installed("iptables") == "":
		return unavailable("read the firewall: iptables-save is not installed")
	}
	return nil
}

// Firewall returns the state of a filter table.
func (h *Host) Firewall(ctx context.Context, family api.Family) (host.Firewall, error) {
	if err := h.look(ctx, "Firewall"); err != nil {
		return host.Firewall{}, err
	}
	if err := h.canFirewall(family); err != nil {
		return host.Firewall{}, err
	}
	t := h.tables[family].clone()
	state := host.Firewall{Input: t["INPUT"]}
	if rules, exists := t[render.Chain]; exists {
		state.Chain = append([]string{}, rules...)
	}
	return state, nil
}

// LoadFirewall loads rules like iptables-restore --noflush: all or nothing.
func (h *Host) LoadFirewall(ctx context.Context, family api.Family, rules string) error {
	return h.effect(ctx, "LoadFirewall", family.String(), func() error {
		if err := h.canFirewall(family); err != nil {
			return err
		}
		return h.restore(family, rules)
	})
}

func (h *Host) restore(family api.Family, rules string) error {
	t := h.tables[family].clone()
	number, committed := 0, false
	for line := range strings.Lines(rules) {
		number++
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#") || line == "*filter":
		case line == "COMMIT":
			committed = true
		default:
			if err := t.do(line); err != nil {
				return fmt.Errorf("cannot load the %v firewall rules: iptables-restore: line %d failed: %w: %q", family, number, err, line)
			}
		}
	}
	if !committed {
		return fmt.Errorf("cannot load the %v firewall rules: iptables-restore: COMMIT expected at line %d", family, number+1)
	}
	h.tables[family] = t
	return nil
}

// do executes one line in the format of iptables-restore.
func (t table) do(line string) error {
	words := strings.Fields(line)
	if name, declared := strings.CutPrefix(words[0], ":"); declared {
		if !builtin(name) {
			t[name] = []string{}
		}
		return nil
	}
	if len(words) < 2 {
		return fmt.Errorf("bad argument")
	}
	chain := words[1]
	rules, exists := t[chain]
	if !exists {
		return fmt.Errorf("no chain by the name %s", chain)
	}
	rest := words[2:]
	switch words[0] {
	case "-A":
		t[chain] = append(rules, rule(chain, rest))
		return t.target(rest)
	case "-I":
		at := 1
		if len(rest) > 0 {
			if n, err := strconv.Atoi(rest[0]); err == nil {
				at, rest = n, rest[1:]
			}
		}
		if at < 1 || at > len(rules)+1 {
			return fmt.Errorf("index of insertion too big")
		}
		t[chain] = slices.Insert(rules, at-1, rule(chain, rest))
		return t.target(rest)
	case "-D":
		i := slices.Index(rules, rule(chain, rest))
		if i < 0 {
			return fmt.Errorf("does a matching rule exist in that chain?")
		}
		t[chain] = slices.Delete(rules, i, i+1)
	case "-F":
		t[chain] = []string{}
	case "-X":
		if len(rules) > 0 {
			return fmt.Errorf("directory not empty")
		}
		for _, others := range t {
			if slices.ContainsFunc(others, func(r string) bool { return strings.HasSuffix(r, "-j "+chain) }) {
				return fmt.Errorf("device or resource busy")
			}
		}
		delete(t, chain)
	default:
		return fmt.Errorf("unknown option")
	}
	return nil
}

func rule(chain string, words []string) string { return "-A " + chain + " " + strings.Join(words, " ") }

// target returns an error if a rule jumps to a missing chain.
func (t table) target(words []string) error {
	i := slices.Index(words, "-j")
	if i < 0 || i+1 >= len(words) || slices.Contains([]string{"ACCEPT", "DROP", "RETURN", "REJECT", "LOG"}, words[i+1]) {
		return nil
	}
	if _, exists := t[words[i+1]]; !exists {
		return fmt.Errorf("chain '%s' does not exist", words[i+1])
	}
	return nil
}

func builtin(name string) bool { return name == "INPUT" || name == "FORWARD" || name == "OUTPUT" }

// Iptables executes lines such as "-A INPUT -j DROP" or ":MINE -" in the filter table, as the administrator.
func (h *Host) Iptables(family api.Family, lines ...string) {
	if err := h.restore(family, "*filter\n"+strings.Join(lines, "\n")+"\nCOMMIT\n"); err != nil {
		panic("fake: " + err.Error())
	}
}
