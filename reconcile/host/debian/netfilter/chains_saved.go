package netfilter

import (
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
)

// parseSaved parses a filter table from iptables-save's output.
func parseSaved(text, tool, family string) []host.FilterChain {
	var chains []host.FilterChain
	at := map[string]int{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if words := strings.Fields(line); strings.HasPrefix(line, ":") && len(words) > 1 {
			name := words[0][1:]
			if name == "OUTPUT" || name == "FORWARD" {
				continue
			}
			at[name] = len(chains)
			chains = append(chains, host.FilterChain{
				Tool: tool, Family: family, Table: "filter", Name: name, Input: name == "INPUT", Policy: strings.ToLower(strings.Trim(words[1], "-")),
			})
			continue
		}
		words := splitQuoted(line)
		if len(words) < 2 || words[0] != "-A" {
			continue
		}
		if i, ok := at[words[1]]; ok {
			chains[i].Rules = append(chains[i].Rules, savedRule(line, words[2:]))
		}
	}
	return chains
}

// splitQuoted splits at spaces, but not inside quotes.
func splitQuoted(line string) []string {
	quoted := false
	return strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	})
}

// savedRule parses a rule of iptables-save. An unknown option becomes a condition that the agent does not understand.
func savedRule(text string, words []string) host.FilterRule {
	rule := host.FilterRule{Text: text}
	fields := map[string]string{
		"-i": "interface", "-p": "protocol", "--dport": "port", "--dports": "port", "--ctstate": "state", "--state": "state", "-s": "source",
	}
	for i := 0; i < len(words); i++ {
		not := words[i] == "!"
		if not {
			i++
		}
		option, value := "", ""
		if i < len(words) {
			option = words[i]
		}
		if i+1 < len(words) && !strings.HasPrefix(words[i+1], "-") {
			value = words[i+1]
			i++
		}
		field, known := fields[option]
		switch {
		case known:
			value = strings.ReplaceAll(strings.ToLower(strings.ReplaceAll(value, "+", "*")), ":", map[bool]string{true: "-", false: ":"}[field == "port"])
			rule.Matches = append(rule.Matches, host.FilterMatch{Field: field, Not: not, Values: strings.Split(protocolNumber(value), ",")})
		case option == "-m" || option == "--comment" || option == "--reject-with":
		case option == "-g":
			rule.Verdict, rule.Chain = "goto", value
		case option == "-j":
			switch lower := strings.ToLower(value); lower {
			case "accept", "drop", "reject", "return":
				rule.Verdict = lower
			case "log", "mark", "nflog", "connmark":
				return rule
			default:
				rule.Verdict, rule.Chain = "jump", value
			}
		default:
			rule.Matches = append(rule.Matches, host.FilterMatch{})
		}
	}
	return rule
}

func protocolNumber(name string) string {
	if number, ok := protocols[name]; ok {
		return number
	}
	return name
}
