package main

import (
	"context"
	"os"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/kubevip"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// A setup is a way to run a pair, and to move its virtual IP as its administrator does.
type setup struct {
	name   string
	spec   string // lines at the end of the spec
	daemon bool   // the agent runs as a daemon
	after  string // a script for each host, once the spec is in force
	move   string // a command for the active host
	back   string // the command that makes it a standby again
	leases bool   // the hosts need a lease server
}

const (
	stop  = "systemctl stop keepalived"
	start = "systemctl start keepalived"
)

var setups = []setup{
	{name: "standard", spec: pair.Nodes, daemon: true, move: pair.Agent + " drain", back: pair.Agent + " undrain"},
	{name: "by hand", spec: pair.Nodes + "\nvrrp: {handover: none}", move: stop, back: start, after: pair.ByHand},
	{name: "classic", spec: "profile: classic", move: stop, back: start},
	{name: kubeVIP, spec: pair.Nodes + "\nvrrp: {handover: none}", move: "systemctl stop kube-vip", back: "systemctl start kube-vip", leases: true, after: `
		systemctl disable --now keepalived; rm -rf /etc/systemd/system/haproxy.service.d; systemctl daemon-reload; systemctl restart haproxy
		systemctl start kube-vip`},
}

// kubeVIP needs its program: -kubevip.
const kubeVIP = "kube-vip"

func setupNames() (names []string) {
	for _, s := range setups {
		names = append(names, s.name)
	}
	return names
}

// boot makes the pair.
func (s setup) boot(ctx context.Context, stage *lab.Stage, o options) ([]*lab.Host, error) {
	files, err := pair.Files(o.agent, "hack/systemd/rlb-agent.service")
	if err != nil {
		return nil, err
	}
	if s.leases {
		program, err := os.ReadFile(o.kubevip)
		if err != nil {
			return nil, err
		}
		keeper, err := stage.AddClient(ctx, "leases", lab.At(60))
		if err != nil {
			return nil, err
		}
		address := lab.At(60).Addr().String()
		if err := keeper.Command(ctx, "perl", "-e", kubevip.Leases, address).Start(); err != nil { // it ends with ctx
			return nil, err
		}
		files = append(files, kubevip.Files(program, address)...)
	}
	files = append(files, lab.File{Path: pair.SpecFile, Data: []byte(pair.SpecAfter(0, 2, s.spec+"\n"))})
	hosts, err := stage.AddHosts(ctx, lab.HostOptions{Installed: true, Files: files}, lab.Trixie, lab.Trixie)
	if err != nil {
		return nil, err
	}
	if err := stage.Client.HoldACKs(ctx); err != nil {
		return nil, err
	}
	return hosts, pair.Each(hosts, func(h *lab.Host) error {
		if _, err := h.Run(ctx, pair.Agent, "--once"); err != nil {
			return err
		}
		if s.daemon {
			if _, err := h.Run(ctx, "systemctl", "enable", "--now", "rlb-agent"); err != nil {
				return err
			}
		}
		_, err := h.Sh(ctx, "set -e\n"+s.after)
		return err
	})
}

// settled waits until only one host holds the virtual IP, and returns the hosts by role.
func settled(ctx context.Context, hosts []*lab.Host) (active, standby *lab.Host, err error) {
	err = lab.Until(ctx, 20*time.Second, func() bool { return pair.Holds(hosts[0]) != pair.Holds(hosts[1]) })
	if pair.Holds(hosts[0]) {
		return hosts[0], hosts[1], err
	}
	return hosts[1], hosts[0], err
}
