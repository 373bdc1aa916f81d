package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

const (
	light   = pair.VIP + ":9001" // leads to NamePort of the control planes: connections that cost little
	haproxy = "/etc/haproxy/haproxy.cfg"
)

// A setup is a way to run a pair.
type setup struct {
	name   string
	spec   string // lines at the end of the spec
	after  string // a script for each host, once the spec is in force
	daemon bool   // the agent runs as a daemon; the original has no daemon
	only   []string
}

// nodes lets the agent check the other node before it gives up the virtual IP.
const nodes = pair.Nodes + "\n"

var setups = []setup{
	{name: standard, spec: "profile: standard\n" + nodes, daemon: true},
	{name: byHand, spec: "vrrp: {handover: none}\n" + nodes, after: pair.ByHand,
		only: []string{"keepalived-stop", "keepalived-kill", "haproxy-stop", "haproxy-kill", "haproxy-hang", "link-cut", "crash"}},
	{name: classic, spec: "profile: classic\n"},
}

// setupsOf returns the setups of these names, and standard with another interval for the faults that depend on it.
func setupsOf(names []string, interval time.Duration) (chosen []setup, err error) {
	for _, name := range names {
		at := slices.IndexFunc(setups, func(s setup) bool { return s.name == name })
		if at < 0 {
			return nil, fmt.Errorf("cannot use setup %q: there are %s, %s and %s", name, standard, byHand, classic)
		}
		chosen = append(chosen, setups[at])
	}
	if interval > 0 && slices.Contains(names, standard) {
		chosen = append(chosen, setup{name: fast, spec: fmt.Sprintf("vrrp: {advertisementInterval: %s}\n", interval) + nodes, daemon: true, only: []string{"link-cut", "crash"}})
	}
	return chosen, nil
}

// The names of the setups.
const (
	standard = "standard"
	byHand   = "by hand" // keepalived without an agent
	classic  = "classic"
	fast     = "standard, fast" // with a shorter advertisement interval
)

func (s setup) has(fault string) bool { return len(s.only) == 0 || slices.Contains(s.only, fault) }

// specOf returns the setup's spec after this number of edits; every second edit also needs a reload.
func (s setup) specOf(edits int) string { return pair.SpecAfter(edits, 2, s.spec) }

// A bench is a lab with two hosts that run a setup.
type bench struct {
	*lab.Stage
	setup setup
	hosts []*lab.Host
	edits int
	rate  int // connections a second of a load
}

func newBench(ctx context.Context, s setup, o options) (p *bench, err error) {
	stage, err := lab.NewStage(ctx, lab.Options{Log: progress}, 3)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, stage.Close())
		}
	}()
	files, err := pair.Files(o.agent, o.unit)
	if err != nil {
		return nil, err
	}
	files = append(files, lab.File{Path: pair.SpecFile, Data: []byte(s.specOf(0))})
	p = &bench{Stage: stage, setup: s, rate: o.rate}
	if p.hosts, err = stage.AddHosts(ctx, lab.HostOptions{Installed: true, Files: files}, lab.Trixie, lab.Trixie); err != nil {
		return nil, err
	}
	if err = pair.Each(p.hosts, func(h *lab.Host) error {
		_, err := h.Run(ctx, pair.Agent, "--once")
		if err == nil && s.daemon {
			_, err = h.Run(ctx, "systemctl", "enable", "--now", "rlb-agent")
		}
		if err == nil {
			_, err = h.Sh(ctx, "set -e\n"+s.after)
		}
		return err
	}); err != nil {
		return nil, err
	}
	return p, p.settle(ctx)
}

// restore undoes every kind of fault.
func (p *bench) restore(ctx context.Context) error {
	units := []string{"haproxy", "keepalived"}
	if p.setup.daemon {
		units = append(units, "rlb-agent")
	}
	return pair.Restore(ctx, p.Lab, p.hosts, units...)
}

// settle waits until the pair is healthy: one active host, one standby, and nothing left to do.
func (p *bench) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var roles [2]string
	for {
		for i, h := range p.hosts {
			out, err := h.Run(ctx, pair.Agent, "status", "-o", "json")
			var status struct{ Role string }
			_ = json.Unmarshal([]byte(out), &status)
			roles[i] = status.Role
			if err != nil && p.setup.after == "" { // otherwise the files are not the agent's
				roles[i] += ", not ready"
			}
		}
		if sorted := slices.Sorted(slices.Values(roles[:])); slices.Equal(sorted, []string{"BACKUP", "MASTER"}) && pair.Holds(p.hosts[0]) != pair.Holds(p.hosts[1]) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot bring the pair back to rest: it is %s", strings.Join(roles[:], " and "))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// roles returns the active host and the standby.
func (p *bench) roles() (active, standby *lab.Host) {
	if pair.Holds(p.hosts[0]) {
		return p.hosts[0], p.hosts[1]
	}
	return p.hosts[1], p.hosts[0]
}
