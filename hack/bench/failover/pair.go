package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

const (
	vip       = "198.51.100.100"
	service   = vip + ":9000" // leads to the API servers
	light     = vip + ":9001" // leads to where they tell their names: connections that cost little
	agent     = "/usr/local/sbin/rlb-agent"
	haproxy   = "/etc/haproxy/haproxy.cfg"
	drainFile = "/var/lib/rlb/drain"
)

// A setup is a way to run a pair.
type setup struct {
	name   string
	spec   string // lines for the end of the spec
	daemon bool   // the agent runs all the time; the original has nothing like it
	only   []string
}

// setupsOf are the setups of the profiles, and standard with an interval of its own for the faults that depend on it.
func setupsOf(profiles []string, interval time.Duration) ([]setup, error) {
	// The agent looks for the other node before it gives the virtual IP away.
	const nodes = "nodes:\n- {name: lb1, addresses: [198.51.100.11]}\n- {name: lb2, addresses: [198.51.100.12]}\n"
	var setups []setup
	for _, profile := range profiles {
		if profile != standard && profile != classic {
			return nil, fmt.Errorf("cannot use profile %q: there are standard and classic", profile)
		}
		s := setup{name: profile, spec: "profile: " + profile + "\n", daemon: profile == standard}
		if s.daemon {
			s.spec += nodes
		}
		setups = append(setups, s)
	}
	if interval > 0 && slices.Contains(profiles, standard) {
		setups = append(setups, setup{name: fast, spec: fmt.Sprintf("vrrp: {advertisementInterval: %s}\n", interval) + nodes, daemon: true, only: []string{"link-cut", "crash"}})
	}
	return setups, nil
}

// The names of the setups.
const (
	standard = "standard"
	classic  = "classic"
	fast     = "standard, fast" // a shorter advertisement interval
)

func (s setup) has(fault string) bool { return len(s.only) == 0 || slices.Contains(s.only, fault) }

// specOf is the setup's spec after so many edits: each changes a weight, each second one also what needs a reload.
func (s setup) specOf(edits int) string {
	servers := func(port int) string {
		var b strings.Builder
		for i := range 3 {
			fmt.Fprintf(&b, "  - {name: cp%d, address: 198.51.100.%d, port: %d, weight: %d}\n", i+1, 21+i, port, 100+edits%100)
		}
		return b.String()
	}
	return fmt.Sprintf(`apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [%s]
proxy: {retries: %d}
services:
- name: kube-apiserver
  port: 9000
  servers:
%s- name: names
  port: 9001
  servers:
%s%s`, vip, 3+edits/2%2, servers(6443), servers(lab.NamePort), s.spec)
}

// pair is a lab with two hosts that run a setup.
type pair struct {
	*lab.Stage
	setup setup
	hosts []*lab.Host
	edits int
	rate  int // connections a second of a load
}

func newPair(ctx context.Context, s setup, o options) (p *pair, err error) {
	stage, err := lab.NewStage(ctx, lab.Options{Log: progress}, 3)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, stage.Close())
		}
	}()
	binary, err := lab.LocalFile(o.agent, agent, 0o755)
	unit, uerr := lab.LocalFile(o.unit, "/etc/systemd/system/rlb-agent.service", 0o644)
	spec := lab.File{Path: "/etc/rlb/spec.yaml", Data: []byte(s.specOf(0))}
	if err = errors.Join(err, uerr); err != nil {
		return nil, err
	}
	p = &pair{Stage: stage, setup: s, rate: o.rate}
	if p.hosts, err = stage.AddHosts(ctx, lab.HostOptions{Installed: true, Files: []lab.File{binary, unit, spec}}, lab.Trixie, lab.Trixie); err != nil {
		return nil, err
	}
	if err = p.each(func(h *lab.Host) error {
		if _, err := h.Run(ctx, agent, "--once"); err != nil || !s.daemon {
			return err
		}
		_, err := h.Run(ctx, "systemctl", "enable", "--now", "rlb-agent")
		return err
	}); err != nil {
		return nil, err
	}
	return p, p.settle(ctx)
}

// each does the same on both hosts at once.
func (p *pair) each(do func(*lab.Host) error) error {
	errs := make([]error, len(p.hosts))
	var all sync.WaitGroup
	for i, h := range p.hosts {
		all.Go(func() { errs[i] = do(h) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func holds(h *lab.Host) bool { return h.HoldsAddress(netip.MustParseAddr(vip)) }

// mend undoes every fault, whichever there was.
func (p *pair) mend(ctx context.Context) error {
	_ = p.Heal() // an error says that there is no partition
	return p.each(func(h *lab.Host) error {
		if !h.Up() {
			if err := h.Start(ctx); err != nil {
				return err
			}
		}
		if err := h.RestoreLink(); err != nil {
			return err
		}
		units := "haproxy keepalived"
		if p.setup.daemon {
			units += " rlb-agent"
		}
		_, err := h.Sh(ctx, "systemctl kill -s CONT haproxy; systemctl reset-failed; test ! -e "+drainFile+" || "+agent+" undrain; systemctl start "+units+" || { sleep 1; systemctl start "+units+"; }") // the agent may start them too
		return err
	})
}

// settle waits until the pair is as it should be: one active host, one that stands by, and nothing left to do.
func (p *pair) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var roles [2]string
	for {
		for i, h := range p.hosts {
			out, err := h.Run(ctx, agent, "status", "-o", "json")
			var status struct{ Role string }
			_ = json.Unmarshal([]byte(out), &status)
			roles[i] = status.Role
			if err != nil {
				roles[i] += ", not ready"
			}
		}
		if sorted := slices.Sorted(slices.Values(roles[:])); slices.Equal(sorted, []string{"BACKUP", "MASTER"}) && holds(p.hosts[0]) != holds(p.hosts[1]) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot bring the pair back to rest: it is %s", strings.Join(roles[:], " and "))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// roles says which host is active.
func (p *pair) roles() (active, standby *lab.Host) {
	if holds(p.hosts[0]) {
		return p.hosts[0], p.hosts[1]
	}
	return p.hosts[1], p.hosts[0]
}
