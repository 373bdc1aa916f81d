package debian

import (
	"context"
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
