package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/hack/specgen"
	"rlb.dev/rlb-agent/render"
)

// The host's own addresses, where HAProxy runs.
var ownAddresses = map[api.Family]string{api.IPv4: "192.168.3.241", api.IPv6: "2001:db8:3::241"}

// started starts HAProxy with n specs, whose seeds start with first, in steps. It finds where HAProxy does not listen
// as the spec says, or leads a connection to another service's server.
func (t *tree) started(ctx context.Context, first, step, n uint64) (done tried, wrong []disagreement, err error) {
	for ; done.specs < n && ctx.Err() == nil; done.specs++ {
		seed := first + done.specs*step
		connections, found, err := t.behaviour(seed)
		if err != nil {
			return done, wrong, fmt.Errorf("seed %d: %w", seed, err)
		}
		done.connections += connections
		wrong = append(wrong, found...)
	}
	return done, wrong, nil
}

// tried counts the tested specs and connections.
type tried struct{ specs, connections uint64 }

// behaviour starts HAProxy with the spec of a seed, with healthy servers, and connects to every address of every
// service.
func (t *tree) behaviour(seed uint64) (connections uint64, wrong []disagreement, err error) {
	doc, err := api.Parse("spec.yaml", []byte(specgen.Text(seed)))
	if err != nil {
		return 0, nil, err
	}
	spec := &doc.Spec
	if slices.ContainsFunc(spec.Services, func(s api.Service) bool { return *s.Port >= firstOwnPort && *s.Port <= lastOwnPort }) {
		return 0, nil, nil // connections of the previous spec may have the port
	}
	farm := newFarm(spec)
	files, err := t.render(spec, seed)
	if err != nil {
		return 0, nil, err
	}
	net, err := t.network()
	if err != nil {
		return 0, nil, err
	}
	stop, err := farm.listen(net)
	if err != nil {
		return 0, nil, err
	}
	defer stop()
	add, remove := addressesOf(spec)
	if err := net.host.ip(add); err != nil {
		return 0, nil, err
	}
	defer func() { err = orElse(err, net.host.ip(remove)) }()
	if _, _, err := t.run("tee /etc/hosts", []byte("127.0.0.1 localhost\n"+farm.hosts)); err != nil {
		return 0, nil, err
	}
	for _, f := range files {
		if f.Kind == render.HAProxyConfig {
			if err := os.WriteFile(filepath.Join(t.shared, "started.cfg"), f.Data, 0o644); err != nil {
				return 0, nil, err
			}
		}
	}
	said, ok, err := t.run("haproxy -D -p /fuzz/pids -f /fuzz/started.cfg", nil)
	if err != nil {
		return 0, nil, err
	}
	if !ok {
		return 0, []disagreement{{seed, "haproxy does not start", said}}, nil
	}
	for _, p := range probes(spec) {
		connections++
		if what := p.judge(net.host, farm); what != "" {
			wrong = append(wrong, disagreement{seed, "haproxy", what})
		}
	}
	return connections, wrong, t.kill()
}

// kill kills the HAProxy that was started.
func (t *tree) kill() error {
	pids, err := os.ReadFile(filepath.Join(t.shared, "pids"))
	if err != nil {
		return err
	}
	for pid := range strings.FieldsSeq(string(pids)) {
		if said, ok, err := t.run("kill -KILL "+pid, nil); err != nil || !ok {
			return fmt.Errorf("cannot end haproxy: %w %s", err, said)
		}
		for begin := time.Now(); ; time.Sleep(time.Millisecond) {
			if _, runs, err := t.run("kill -0 "+pid, nil); err != nil || !runs {
				break
			} else if time.Since(begin) > patience {
				return fmt.Errorf("cannot end haproxy: %s still runs", pid)
			}
		}
	}
	return nil
}

// addressesOf returns the commands of ip that add the addresses at which a spec listens to the host, and remove them.
func addressesOf(spec *api.LoadBalancerSpec) (add, remove string) {
	var adds, removes bytes.Buffer
	seen := map[netip.Addr]bool{netip.MustParseAddr(ownAddresses[api.IPv4]): true, netip.MustParseAddr(ownAddresses[api.IPv6]): true}
	for i := range spec.Services {
		for _, text := range spec.Services[i].Bind {
			addr, err := netip.ParseAddr(text)
			if err != nil || addr.IsLoopback() || seen[addr] {
				continue
			}
			seen[addr] = true
			flags := ""
			if addr.Is6() {
				flags = " nodad"
			}
			fmt.Fprintf(&adds, "address add %s dev lo%s\n", netip.PrefixFrom(addr, addr.BitLen()), flags)
			fmt.Fprintf(&removes, "address del %s dev lo\n", netip.PrefixFrom(addr, addr.BitLen()))
		}
	}
	return adds.String(), removes.String()
}

// probe is a connection to a service, with the expected result.
type probe struct {
	service    *api.Service
	to         netip.AddrPort
	serverName string // requested in TLS; "" for a connection without TLS
	nobody     bool   // it must be closed without an answer
}

// probes returns a probe for each address of each service, and for a few of its TLS server names.
func probes(spec *api.LoadBalancerSpec) (all []probe) {
	rest := map[string]bool{} // addresses and ports that have a service without names
	place := func(s *api.Service) string { return fmt.Sprint(render.Listen(spec, s)) }
	for i := range spec.Services {
		if len(spec.Services[i].SNI) == 0 {
			rest[place(&spec.Services[i])] = true
		}
	}
	for i := range spec.Services {
		s := &spec.Services[i]
		for _, to := range render.Listen(spec, s) {
			if to.Addr().IsUnspecified() {
				family := api.IPv4
				if to.Addr().Is6() {
					family = api.IPv6
				}
				to = netip.AddrPortFrom(netip.MustParseAddr(ownAddresses[family]), to.Port())
			}
			if len(s.SNI) == 0 {
				all = append(all, probe{service: s, to: to})
				continue
			}
			for _, name := range s.SNI[:min(3, len(s.SNI))] {
				all = append(all, probe{service: s, to: to, serverName: strings.Replace(name, "*", "w", 1)})
			}
			if !rest[place(s)] {
				all = append(all, probe{service: s, to: to, nobody: true}, probe{service: s, to: to, serverName: "other.example.net", nobody: true})
			}
		}
	}
	return all
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
