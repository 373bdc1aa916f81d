package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"net/netip"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/specgen"
	"rlb.dev/rlb-agent/render"
)

// authority is a file of certificates that health checks name.
//
//go:embed ca.crt
var authority string

// disagreement is a valid spec that a program refuses.
type disagreement struct {
	seed    uint64
	program string
	said    string
}

func (d disagreement) String() string {
	return fmt.Sprintf("seed %d: %s: %s", d.seed, d.program, strings.TrimSpace(d.said))
}

// batch is the number of specs whose rules one start of a program tests.
const batch = 100

// specs judges n specs; their seeds start with first, in steps.
func (t *tree) specs(ctx context.Context, first, step, n uint64) (judged uint64, wrong []disagreement, err error) {
	rules := map[string][]rulesOf{} // by the program that tests them
	flush := func(least int) error {
		for program, all := range rules {
			if len(all) < least {
				continue
			}
			refused, err := t.testRules(program, all)
			if err != nil {
				return err
			}
			wrong, rules[program] = append(wrong, refused...), all[:0]
		}
		return nil
	}
	for ; judged < n && ctx.Err() == nil; judged++ {
		seed := first + judged*step
		files, profile, err := rendered(seed, t)
		if err != nil {
			wrong = append(wrong, disagreement{seed, "rlb-agent", err.Error()})
			continue
		}
		for _, f := range files {
			var refused *disagreement
			switch f.Kind {
			case render.HAProxyConfig:
				refused, err = t.testHAProxy(f, profile)
			case render.KeepalivedConfig:
				refused, err = t.testKeepalived(f)
			default:
				if program := t.testerOf(f); program != "" {
					rules[program] = append(rules[program], rulesOf{seed, f.Data})
				}
			}
			if err != nil {
				return judged, wrong, fmt.Errorf("seed %d: %w", seed, err)
			}
			if refused != nil {
				refused.seed = seed
				wrong = append(wrong, *refused)
			}
		}
		if err := flush(batch); err != nil {
			return judged, wrong, err
		}
	}
	return judged, wrong, flush(1)
}

// rendered returns the files of a seed's spec, for one of its nodes.
func rendered(seed uint64, t *tree) ([]render.File, api.Profile, error) {
	doc, err := api.Parse("spec.yaml", []byte(specgen.Text(seed)))
	if err != nil {
		return nil, "", err
	}
	files, err := t.render(&doc.Spec, seed)
	return files, doc.Spec.Profile, err
}

// render returns the files of a spec, for one of its nodes.
func (t *tree) render(spec *api.LoadBalancerSpec, seed uint64) ([]render.File, error) {
	facts := render.Facts{
		Interface:         specgen.Interface,
		Subnets:           []netip.Prefix{netip.MustParsePrefix("192.168.3.241/24"), netip.MustParsePrefix("2001:db8:3::241/64")},
		Nameservers:       []netip.Addr{netip.MustParseAddr("127.0.0.53")},
		HAProxyVersion:    render.Version(t.haproxy),
		KeepalivedVersion: render.Version(t.keepalived),
	}
	if spec.VRRP.Interface != "" {
		facts.Interface = spec.VRRP.Interface
	}
	if len(spec.Nodes) > 0 {
		node := spec.Nodes[seed%uint64(len(spec.Nodes))]
		facts.Node = node.Name
		if node.Interface != "" {
			facts.Interface = node.Interface
		}
	}
	all, err := render.Render(spec, facts)
	return all.Files, err
}

// testHAProxy checks haproxy.cfg. With the standard profile a warning counts as a refusal. The classic profile has
// the original's lines, which cause warnings.
func (t *tree) testHAProxy(f render.File, profile api.Profile) (*disagreement, error) {
	program := t.lax
	if profile == api.Standard {
		program = t.strict
	}
	said, code, err := t.judge(program, "haproxy.cfg", f.Data)
	if err != nil || code == 0 {
		return nil, err
	}
	return &disagreement{program: "haproxy", said: said}, nil
}

// testKeepalived checks keepalived.conf. Old releases report a bad value but exit with 0; for a good configuration
// all are silent.
func (t *tree) testKeepalived(f render.File) (*disagreement, error) {
	said, code, err := t.judge(t.vrrp, "keepalived.conf", f.Data)
	if err != nil {
		return nil, err
	}
	var complaints []string
	for line := range strings.Lines(said) {
		if t.release != lab.Bullseye || !render.HarmlessComplaint(line) {
			complaints = append(complaints, line)
		}
	}
	if code == 0 && len(complaints) == 0 {
		return nil, nil
	}
	return &disagreement{program: fmt.Sprintf("keepalived, exit code %d", code), said: strings.Join(complaints, "")}, nil
}

// rulesOf are the rules of a spec for one program.
type rulesOf struct {
	seed uint64
	data []byte
}

// testerOf returns the program that tests rules without loading them into the kernel; "" if f has none, or if the
// agent does not use it: in Debian 11 nft aborts when it lists rules that it accepted.
func (t *tree) testerOf(f render.File) string {
	switch {
	case f.Kind == render.FirewallRules && render.FamilyOfRules(f) == api.IPv6:
		return "ip6tables-restore -w 5 --noflush --test"
	case f.Kind == render.FirewallRules:
		return "iptables-restore -w 5 --noflush --test"
	case f.Kind == render.HandoverRules && t.release != lab.Bullseye:
		return "nft --check --file -"
	}
	return ""
}

// testRules passes the rules of many specs to one start of their program, and finds those that it refuses.
func (t *tree) testRules(program string, all []rulesOf) (refused []disagreement, err error) {
	var input bytes.Buffer
	for _, r := range all {
		input.Write(r.data)
	}
	said, ok, err := t.run(program, input.Bytes())
	switch {
	case err != nil || ok && said == "":
		return nil, err
	case len(all) == 1:
		return []disagreement{{all[0].seed, program, said}}, nil
	}
	for _, half := range [][]rulesOf{all[:len(all)/2], all[len(all)/2:]} {
		found, err := t.testRules(program, half)
		if err != nil {
			return nil, err
		}
		refused = append(refused, found...)
	}
	return refused, nil
}
