package debian

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
)

// FilterChains are the chains of iptables, of its older kind where that has tables too, and of nftables.
func (h *Host) FilterChains(ctx context.Context) (chains []host.FilterChain, notes []string, err error) {
	const do = "read the packet filter"
	if !h.root {
		return nil, nil, unavailable("cannot " + do + ": this needs root")
	}
	viaNFT := map[string]bool{} // families of which nft shows iptables' tables too
	for _, family := range api.Families {
		name := map[api.Family]string{api.IPv4: "ip", api.IPv6: "ip6"}[family]
		if h.canFirewall(do, family) != nil {
			continue
		}
		out, err := h.do(ctx, do, command{program: tool(family, "save"), args: []string{"-t", "filter"}})
		if err != nil {
			notes = append(notes, err.Error())
			continue
		}
		viaNFT[name] = strings.Contains(out.stdout, "(nf_tables)")
		chains = append(chains, parseSaved(out.stdout, "iptables", name)...)
		// asked only where the kernel has the table already: else the question would make it
		if tables, _ := os.ReadFile(filepath.Join(h.proc, "net", name+"_tables_names")); viaNFT[name] && slices.Contains(strings.Fields(string(tables)), "filter") {
			legacy := strings.Replace(tool(family, "save"), "tables-", "tables-legacy-", 1)
			if out, err := h.do(ctx, do, command{program: legacy, args: []string{"-t", "filter"}}); err == nil {
				chains = append(chains, parseSaved(out.stdout, "iptables-legacy", name)...)
			}
		}
	}
	out, err := h.do(ctx, do, command{program: "nft", args: []string{"-j", "list", "ruleset"}})
	if err != nil {
		return chains, append(notes, err.Error()), nil
	}
	native, err := parseNFT([]byte(out.stdout))
	if err != nil {
		return chains, append(notes, fmt.Sprintf("cannot understand nft: %v", err)), nil
	}
	for _, c := range native {
		ofIptables := viaNFT[c.Family] && slices.ContainsFunc(chains, func(o host.FilterChain) bool {
			return o.Tool == "iptables" && o.Family == c.Family && c.Table == "filter" && o.Name == c.Name
		})
		if !ofIptables {
			chains = append(chains, c)
		}
	}
	return chains, notes, nil
}

// parseSaved reads a filter table from iptables-save's output.
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

// splitQuoted splits at blanks; what stands in quotes stays together.
func splitQuoted(line string) []string {
	quoted := false
	return strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	})
}

// savedRule reads a rule of iptables-save. An option that is not known is a condition that is not understood.
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

// parseNFT reads the chains for incoming packets from "nft -j list ruleset" (libnftables-json(5)).
func parseNFT(data []byte) ([]host.FilterChain, error) {
	var all struct {
		Objects []struct {
			Chain *struct{ Family, Table, Name, Type, Hook, Policy string }
			Rule  *struct {
				Family, Table, Chain string
				Expr                 []map[string]any
			}
		} `json:"nftables"`
	}
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	var chains []host.FilterChain
	for _, o := range all.Objects {
		if c := o.Chain; c != nil && slices.Contains([]string{"ip", "ip6", "inet"}, c.Family) && (c.Hook == "" || c.Hook == "input" && c.Type == "filter") {
			chains = append(chains, host.FilterChain{Tool: "nft", Family: c.Family, Table: c.Table, Name: c.Name, Input: c.Hook != "", Policy: c.Policy})
		}
	}
	for _, o := range all.Objects {
		if r := o.Rule; r != nil {
			at := slices.IndexFunc(chains, func(c host.FilterChain) bool { return c.Family == r.Family && c.Table == r.Table && c.Name == r.Chain })
			if at >= 0 {
				chains[at].Rules = append(chains[at].Rules, nftRules(r.Expr)...)
			}
		}
	}
	return chains, nil
}

// nftRules are the rule's, and one for each entry of a map of verdicts.
func nftRules(expressions []map[string]any) []host.FilterRule {
	var rule host.FilterRule
	var text []string
	for _, e := range expressions {
		for kind, body := range e {
			switch kind {
			case "match":
				m, words := nftMatch(body)
				rule.Matches, text = append(rule.Matches, m...), append(text, words)
			case "accept", "drop", "return", "reject":
				rule.Verdict, text = kind, append(text, kind)
			case "jump", "goto":
				target, _ := body.(map[string]any)
				rule.Verdict = kind
				rule.Chain, _ = target["target"].(string)
				text = append(text, kind+" "+rule.Chain)
			case "vmap":
				return nftMap(rule, body)
			case "counter", "log", "comment":
			default: // "xt", "limit", "lookup" …
				rule.Matches, text = append(rule.Matches, host.FilterMatch{}), append(text, kind+" …")
			}
		}
	}
	rule.Text = strings.Join(text, " ")
	return []host.FilterRule{rule}
}

// nftMap reads a map of verdicts, {"key": LEFT, "data": {"set": [[VALUE, VERDICT], …]}}, as a rule for each.
func nftMap(before host.FilterRule, body any) []host.FilterRule {
	vmap, _ := body.(map[string]any)
	data, _ := vmap["data"].(map[string]any)
	entries, known := data["set"].([]any)
	if !known { // a named map
		before.Matches, before.Verdict, before.Text = append(before.Matches, host.FilterMatch{}), "accept", "vmap …"
		return []host.FilterRule{before}
	}
	var rules []host.FilterRule
	for _, entry := range entries {
		pair, _ := entry.([]any)
		if len(pair) != 2 {
			continue
		}
		verdict, _ := pair[1].(map[string]any)
		match := map[string]any{"match": map[string]any{"op": "==", "left": vmap["key"], "right": pair[0]}}
		for _, rule := range nftRules([]map[string]any{match, verdict}) {
			rule.Matches = append(slices.Clone(before.Matches), rule.Matches...)
			rules = append(rules, rule)
		}
	}
	return rules
}

// nftMatch reads a condition, and writes it as text.
func nftMatch(body any) ([]host.FilterMatch, string) {
	match, _ := body.(map[string]any)
	left, _ := match["left"].(map[string]any)
	op, _ := match["op"].(string)
	values, known := nftValues(match["right"])
	m := host.FilterMatch{Not: op == "!=", Values: values}
	var implied []host.FilterMatch
	name := ""
	of := func(kind, field string) string {
		part, _ := left[kind].(map[string]any)
		text, _ := part[field].(string)
		return text
	}
	switch meta, ct, protocol, field := of("meta", "key"), of("ct", "key"), of("payload", "protocol"), of("payload", "field"); {
	case meta == "iifname" || meta == "iif":
		m.Field, name = "interface", meta
	case meta == "l4proto" || protocol == "ip" && field == "protocol" || protocol == "ip6" && field == "nexthdr":
		m.Field, name = "protocol", meta+field
		for i := range m.Values {
			m.Values[i] = protocolNumber(m.Values[i])
		}
	case ct == "state":
		m.Field, name = "state", "ct state"
	case field == "dport":
		m.Field, name = "port", protocol+" dport"
		if protocol != "th" {
			implied = append(implied, host.FilterMatch{Field: "protocol", Values: []string{protocol}})
		}
	case (protocol == "ip" || protocol == "ip6") && field == "saddr":
		m.Field, name = "source", protocol+" saddr"
	case protocol != "":
		name = protocol + " " + field
		if slices.Contains([]string{"tcp", "udp", "icmp", "icmpv6"}, protocol) {
			implied = append(implied, host.FilterMatch{Field: "protocol", Values: []string{strings.Replace(protocol, "icmpv6", "ipv6-icmp", 1)}})
		}
	}
	if !known || !slices.Contains([]string{"==", "!=", "in"}, op) {
		m.Field = ""
	}
	if op = strings.Trim(op, "= "); op == "in" {
		op = ""
	}
	return append(implied, m), strings.Join(strings.Fields(name+" "+op+" "+strings.Join(values, ",")), " ")
}

// nftValues are the values of the right side of a condition, as text.
func nftValues(right any) (values []string, known bool) {
	switch v := right.(type) {
	case string:
		return []string{v}, !strings.HasPrefix(v, "@")
	case float64:
		return []string{fmt.Sprint(int(v))}, true
	case []any:
		return nftList(v)
	case map[string]any:
		if set, ok := v["set"].([]any); ok {
			return nftList(set)
		}
		if bounds, ok := v["range"].([]any); ok && len(bounds) == 2 {
			both, known := nftList(bounds)
			return []string{strings.Join(both, "-")}, known
		}
		if p, ok := v["prefix"].(map[string]any); ok {
			return []string{fmt.Sprintf("%v/%v", p["addr"], p["len"])}, true
		}
	}
	return nil, false
}

func nftList(list []any) (values []string, known bool) {
	known = true
	for _, one := range list {
		value, ok := nftValues(one)
		values, known = append(values, value...), known && ok
	}
	return values, known
}
