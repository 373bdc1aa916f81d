package netfilter

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
)

// parseNFT parses the chains for incoming packets from "nft -j list ruleset" (libnftables-json(5)).
func parseNFT(data []byte) ([]host.FilterChain, error) {
	var all struct {
		Objects []struct {
			Chain *struct{ Family, Table, Name, Type, Hook, Policy string }
			Rule  *struct {
				Family, Table, Chain string
				Expr                 []expression
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

// expression is one expression of a rule, by its kind. nft 1.0 writes a bare word if it has no JSON for an expression
// ("dup", "socket").
type expression map[string]any

func (e *expression) UnmarshalJSON(data []byte) error {
	var word string
	if json.Unmarshal(data, &word) == nil {
		*e = expression{word: nil}
		return nil
	}
	return json.Unmarshal(data, (*map[string]any)(e))
}

// nftRules returns the rule, or one rule for each entry of a verdict map.
func nftRules(expressions []expression) []host.FilterRule {
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

// nftMap converts a verdict map, {"key": LEFT, "data": {"set": [[VALUE, VERDICT], …]}}, to a rule for each entry.
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
		for _, rule := range nftRules([]expression{match, verdict}) {
			rule.Matches = append(slices.Clone(before.Matches), rule.Matches...)
			rules = append(rules, rule)
		}
	}
	return rules
}

// nftMatch parses a condition, and returns it as text too.
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
	case ct == "status" && slices.Equal(values, []string{"dnat"}): // firewalld's: a DNAT rule sent the connection here
		m.Field, name = "state", "ct status"
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

// nftValues returns the values on the right side of a condition, as text.
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
