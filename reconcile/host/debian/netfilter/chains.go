package netfilter

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
)

// FilterChains returns the chains of iptables, of iptables-legacy if it has tables too, and of nftables.
func (t *Tables) FilterChains(ctx context.Context) (chains []host.FilterChain, notes []string, err error) {
	const do = "read the packet filter"
	if !t.root {
		return nil, nil, host.Unavailable("cannot "+do+": this needs root", nil)
	}
	viaNFT := map[string]bool{} // families for which nft shows iptables' tables too
	for _, family := range api.Families {
		name := map[api.Family]string{api.IPv4: "ip", api.IPv6: "ip6"}[family]
		if t.canFirewall(do, family) != nil {
			continue
		}
		out, err := t.programs.Do(ctx, do, program.Command{Name: tool(family, "save"), Args: []string{"-t", "filter"}})
		if err != nil {
			notes = append(notes, err.Error())
			continue
		}
		viaNFT[name] = strings.Contains(out.Stdout, "(nf_tables)")
		chains = append(chains, parseSaved(out.Stdout, "iptables", name)...)
		// only if the kernel already has the table; otherwise the query would create it
		if tables, _ := os.ReadFile(filepath.Join(t.proc, "net", name+"_tables_names")); viaNFT[name] && slices.Contains(strings.Fields(string(tables)), "filter") {
			legacy := strings.Replace(tool(family, "save"), "tables-", "tables-legacy-", 1)
			if out, err := t.programs.Do(ctx, do, program.Command{Name: legacy, Args: []string{"-t", "filter"}}); err == nil {
				chains = append(chains, parseSaved(out.Stdout, "iptables-legacy", name)...)
			}
		}
	}
	out, err := t.programs.Do(ctx, do, program.Command{Name: "nft", Args: []string{"-j", "list", "ruleset"}})
	if err != nil {
		return chains, append(notes, err.Error()), nil
	}
	native, err := parseNFT([]byte(out.Stdout))
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
