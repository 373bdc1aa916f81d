package debian

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
	"rlb.dev/rlb-agent/reconcile/host/link"
	"rlb.dev/rlb-agent/render"
)

// Handover returns the part of want that the kernel has.
func (h *Host) Handover(ctx context.Context, want render.Handover) (render.Handover, error) {
	const do = "look at the hand-over"
	have := render.Handover{Rules: map[api.Family]int{}, Sysctls: map[string]string{}}
	if !h.root {
		return have, unavailable("cannot " + do + ": this needs root")
	}
	for _, name := range []string{"nft", "ip", "sysctl"} {
		if _, err := h.programs.Find(name); err != nil {
			return have, wrap(do, err)
		}
	}
	answers, errs := make([]program.Output, len(api.Families)), make([]error, len(api.Families))
	var asked sync.WaitGroup
	for i, family := range api.Families {
		if _, wanted := want.Rules[family]; wanted {
			list := program.Command{Name: "nft", Args: []string{"list", "table", render.HandoverFamily(family), render.HandoverTable}}
			asked.Go(func() { answers[i], errs[i] = h.programs.Run(ctx, list) })
		}
	}
	asked.Wait()
	if err := errors.Join(errs...); err != nil {
		return have, wrap(do, err)
	}
	for i, family := range api.Families {
		if _, wanted := want.Rules[family]; wanted {
			have.Rules[family] = render.CountRules(answers[i].Stdout, family) // a missing table lists no rules
		}
	}
	for key := range want.Sysctls {
		value, err := h.Sysctl(ctx, key)
		if err != nil {
			return have, err
		}
		have.Sysctls[key] = value
	}
	var err error
	have.Routes, err = link.LocalRoutes(render.HandoverProtocol)
	return have, err
}

// Forwarded returns the connections whose packets this host forwarded within the last minute.
func (h *Host) Forwarded(ctx context.Context) (all []host.Flow, err error) {
	for _, family := range api.Families {
		out, err := h.programs.Run(ctx, program.Command{Name: "nft", Args: []string{"-n", "list", "set", render.HandoverFamily(family), render.HandoverTable, render.ForwardedSet}})
		switch {
		case err != nil:
			return nil, wrap("list the forwarded connections", err)
		case out.Code != 0 && strings.Contains(out.Stderr, "No such file or directory"):
			continue // no virtual IP has this family
		case out.Code != 0:
			return nil, program.Failure("list the forwarded connections", "nft", out)
		}
		all = append(all, parseFlows(out.Stdout)...)
	}
	return all, nil
}

// parseFlows parses the elements of a set in the output of nft(8): "elements = { CLIENT . PORT . SERVER . PORT expires 59s,
// … }".
func parseFlows(text string) (all []host.Flow) {
	_, text, _ = strings.Cut(text, "elements = {")
	text, _, _ = strings.Cut(text, "}")
	for element := range strings.SplitSeq(text, ",") {
		words := strings.Fields(element)
		if len(words) < 7 || words[1] != "." || words[3] != "." || words[5] != "." {
			continue
		}
		client, clientErr := netip.ParseAddrPort(net.JoinHostPort(words[0], words[2]))
		server, serverErr := netip.ParseAddrPort(net.JoinHostPort(words[4], words[6]))
		if errors.Join(clientErr, serverErr) == nil {
			all = append(all, host.Flow{Client: client, Server: server})
		}
	}
	return all
}

// HandoverRefused returns why the rules cannot be loaded. nft(8) lets the kernel check them too. nft 0.9.8 loads them but
// aborts when it lists them, so the agent could not see whether they are loaded.
func (h *Host) HandoverRefused(ctx context.Context, rules string) (why string, err error) {
	version, err := h.programs.Do(ctx, "ask nft for its version", program.Command{Name: "nft", Args: []string{"--version"}})
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(version.Stdout, "nftables v0.") {
		return "cannot use the hand-over rules: they need nft 1.0, this is " + strings.TrimSpace(version.Stdout), nil
	}
	out, err := h.programs.Run(ctx, program.Command{Name: "nft", Args: []string{"-c", "-f", "-"}, Stdin: rules})
	switch {
	case err != nil:
		return "", wrap("check the hand-over rules", err)
	case out.Code != 0:
		return program.Failure("use the hand-over rules", "nft", out).Error(), nil
	}
	return "", nil
}

// Sysctl returns the value of a setting, "" if this kernel does not have it.
func (h *Host) Sysctl(_ context.Context, key string) (string, error) {
	data, err := os.ReadFile(filepath.Join(h.proc, "sys", key))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", wrap("read "+key, err)
	}
	return strings.TrimSpace(string(data)), nil
}
