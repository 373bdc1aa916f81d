package fake

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/render"
)

// sysctlDefault is the value of an unset setting.
const sysctlDefault = "0"

// kernel holds what rlb-handover.service has loaded.
type kernel struct {
	rules   map[api.Family]int
	routes  []netip.Addr
	sysctls map[string]string
}

func (k kernel) clone() kernel {
	return kernel{maps.Clone(k.rules), slices.Clone(k.routes), maps.Clone(k.sysctls)}
}

// Handover returns what is loaded for planned moves.
func (h *Host) Handover(ctx context.Context, want render.Handover) (render.Handover, error) {
	if err := h.look(ctx, "Handover"); err != nil {
		return render.Handover{}, err
	}
	if h.Installed("nftables") == "" {
		return render.Handover{}, unavailable("look at the hand-over: nft is not installed")
	}
	have := render.Handover{Rules: maps.Clone(h.kernel.rules), Routes: slices.Clone(h.kernel.routes), Sysctls: map[string]string{}}
	for key := range want.Sysctls {
		have.Sysctls[key] = h.sysctl(key)
	}
	return have, nil
}

// HandoverRefused returns NoHandover.
func (h *Host) HandoverRefused(ctx context.Context, rules string) (why string, err error) {
	return h.NoHandover, h.look(ctx, "HandoverRefused")
}

// Sysctl returns the value of a setting.
func (h *Host) Sysctl(ctx context.Context, key string) (string, error) {
	return h.sysctl(key), h.look(ctx, "Sysctl")
}

func (h *Host) sysctl(key string) string { return cmp.Or(h.kernel.sysctls[key], sysctlDefault) }

// SetSysctl sets a setting as the administrator.
func (h *Host) SetSysctl(key, value string) {
	if h.kernel.sysctls == nil {
		h.kernel.sysctls = map[string]string{}
	}
	h.kernel.sysctls[key] = value
}

// FlushHandover removes the rules, as nft flush ruleset does.
func (h *Host) FlushHandover() { h.kernel.rules = nil }

// FlushLocalRoutes removes the routes, as a restarting network manager does.
func (h *Host) FlushLocalRoutes() { h.kernel.routes = nil }

// handover runs the commands of a setting of rlb-handover.service, in the version that systemd has read.
func (h *Host) handover(setting string) error {
	if h.NoHandover != "" && setting != "ExecStopPost=" {
		return fmt.Errorf("%s", h.NoHandover)
	}
	for line := range strings.Lines(h.manager[unitDir+render.HandoverUnit]) {
		line, ours := strings.CutPrefix(strings.TrimSpace(line), setting)
		if !ours {
			continue
		}
		words := strings.Fields(strings.TrimPrefix(line, "-"))
		last := strings.Trim(words[len(words)-1], `"`)
		switch {
		case words[0] == "/sbin/sysctl":
			for _, word := range words[3:] {
				key, value, _ := strings.Cut(word, "=")
				h.SetSysctl(key, value)
				if value == sysctlDefault {
					delete(h.kernel.sysctls, key)
				}
			}
		case words[0] == "/usr/sbin/nft" && words[1] == "delete":
			h.kernel.rules = nil
		case words[0] == "/usr/sbin/nft" || words[0] == "/bin/sh": // a reload that keeps the sets
			h.kernel.rules = map[api.Family]int{}
			for _, family := range api.Families {
				if n := render.CountRules(h.Text(last), family); n > 0 {
					h.kernel.rules[family] = n
				}
			}
		case words[0] == "/bin/ip" && words[1] == "-batch":
			h.loadRoutes(h.Text(last))
		case slices.Contains(words, "flush"):
			h.kernel.routes = nil
		}
	}
	return nil
}

// loadRoutes executes the commands of a file, as ip -batch does.
func (h *Host) loadRoutes(commands string) {
	h.kernel.routes = nil
	for line := range strings.Lines(commands) {
		if words := strings.Fields(line); len(words) > 3 && words[1] == "replace" {
			h.kernel.routes = append(h.kernel.routes, netip.MustParsePrefix(words[3]).Addr())
		}
	}
	slices.SortFunc(h.kernel.routes, netip.Addr.Compare)
}

// dump writes the whole state as text.
func (k kernel) dump(b *strings.Builder) {
	for _, family := range api.Families {
		if n := k.rules[family]; n > 0 {
			fmt.Fprintf(b, "%v hand-over %d rules\n", family, n)
		}
	}
	for _, addr := range k.routes {
		fmt.Fprintf(b, "local route %v\n", addr)
	}
	for _, key := range slices.Sorted(maps.Keys(k.sysctls)) {
		fmt.Fprintf(b, "sysctl %s=%s\n", key, k.sysctls[key])
	}
}
