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

// authority is the file with certificates that health checks name.
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

// batch is how many specs' rules are tested by one start of iptables-restore.
const batch = 100

// specs judges n specs, of the seeds from first on in steps.
func (t *tree) specs(ctx context.Context, first, step, n uint64) (judged uint64, wrong []disagreement, err error) {
	rules := map[api.Family][]rulesOf{}
	flush := func() error {
		for family, all := range rules {
			refused, err := t.testRules(family, all)
			if err != nil {
				return err
			}
			wrong, rules[family] = append(wrong, refused...), all[:0]
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
			case render.FirewallRules:
				family := render.FamilyOfRules(f)
				rules[family] = append(rules[family], rulesOf{seed, f.Data})
			}
			if err != nil {
				return judged, wrong, fmt.Errorf("seed %d: %w", seed, err)
			}
			if refused != nil {
				refused.seed = seed
				wrong = append(wrong, *refused)
			}
		}
		if len(rules[api.IPv4]) == batch {
			if err := flush(); err != nil {
				return judged, wrong, err
			}
		}
	}
	return judged, wrong, flush()
}

// rendered are the files of a seed's spec, on one of its nodes.
func rendered(seed uint64, t *tree) ([]render.File, api.Profile, error) {
	doc, err := api.Parse("spec.yaml", []byte(specgen.Text(seed)))
	if err != nil {
		return nil, "", err
	}
	spec := &doc.Spec
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
	return all.Files, spec.Profile, err
}

// testHAProxy: for the standard profile it has nothing to warn of either. The classic one has the original's lines.
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

// linkLocal is what keepalived 2.1 says of every IPv6 instance with multicast, and newer ones only log. It takes the
// file, and the virtual IP works all the same.
const linkLocal = "the first IPv6 VIP address must be link local"

// testKeepalived: old releases complain of a bad value and exit with 0 all the same; of a good configuration all are
// silent.
func (t *tree) testKeepalived(f render.File) (*disagreement, error) {
	said, code, err := t.judge(t.vrrp, "keepalived.conf", f.Data)
	if err != nil {
		return nil, err
	}
	var complaints []string
	for line := range strings.Lines(said) {
		if !(t.release == lab.Bullseye && strings.HasSuffix(strings.TrimSpace(line), linkLocal)) {
			complaints = append(complaints, line)
		}
	}
	if code == 0 && len(complaints) == 0 {
		return nil, nil
	}
	return &disagreement{program: fmt.Sprintf("keepalived, exit code %d", code), said: strings.Join(complaints, "")}, nil
}

// rulesOf are one family's rules of a spec.
type rulesOf struct {
	seed uint64
	data []byte
}

// testRules gives the rules of many specs to one start of iptables-restore, and finds those that it refuses.
func (t *tree) testRules(family api.Family, all []rulesOf) (refused []disagreement, err error) {
	if len(all) == 0 {
		return nil, nil
	}
	program := "iptables-restore"
	if family == api.IPv6 {
		program = "ip6tables-restore"
	}
	var input bytes.Buffer
	for _, r := range all {
		input.Write(r.data)
	}
	said, ok, err := t.run(program+" -w 5 --noflush --test", input.Bytes())
	switch {
	case err != nil || ok && said == "":
		return nil, err
	case len(all) == 1:
		return []disagreement{{all[0].seed, program, said}}, nil
	}
	for _, half := range [][]rulesOf{all[:len(all)/2], all[len(all)/2:]} {
		found, err := t.testRules(family, half)
		if err != nil {
			return nil, err
		}
		refused = append(refused, found...)
	}
	return refused, nil
}
