package e2e

import (
	"fmt"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// A World is a lab with three control planes and a client, and the test that runs in it.
type World struct {
	*testing.T
	Lab    *lab.Stage
	Planes []*lab.ControlPlane
	Client *lab.Client
}

// New makes a lab for a test; it ends with the test.
func New(t *testing.T) *World {
	t.Helper()
	lab.Require(t)
	l, err := lab.NewStage(t.Context(), lab.Options{Log: t.Logf}, 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return &World{T: t, Lab: l, Planes: l.Planes, Client: l.Client}
}

// In returns the world for a subtest, to which failures are reported.
func (w *World) In(t *testing.T) *World {
	in := *w
	in.T = t
	return &in
}

// A Host is a booted host of a world, with the agent and its unit on it.
type Host struct {
	*lab.Host
	World *World
}

// In returns the host for a subtest, to which failures are reported.
func (h *Host) In(t *testing.T) *Host { return &Host{h.Host, h.World.In(t)} }

// Hosts boots hosts of these releases at the same time. They are named lb1, lb2 …, after existing ones. installed: they
// have haproxy and keepalived, as after a plain apt-get install.
func (w *World) Hosts(installed bool, releases ...lab.Release) []*Host {
	w.Helper()
	return w.hosts(lab.HostOptions{Installed: installed}, releases...)
}

// SSHHosts boots installed hosts with a running SSH server.
func (w *World) SSHHosts(releases ...lab.Release) []*Host {
	w.Helper()
	return w.hosts(lab.HostOptions{SSH: true}, releases...)
}

// LoginHosts boots bare hosts with sudo and a running SSH server, as from a Debian server image.
func (w *World) LoginHosts(releases ...lab.Release) []*Host {
	w.Helper()
	return w.hosts(lab.HostOptions{Login: true}, releases...)
}

// ManagedHosts boots installed hosts with ufw, firewalld, needrestart, netplan, unattended-upgrades and AppArmor's
// tools.
func (w *World) ManagedHosts(releases ...lab.Release) []*Host {
	w.Helper()
	return w.hosts(lab.HostOptions{Managers: true}, releases...)
}

// UpgradeHosts boots installed hosts with a repository in /srv/next of the packages for the upgrade to the next
// release.
func (w *World) UpgradeHosts(next lab.Release, releases ...lab.Release) []*Host {
	w.Helper()
	return w.hosts(lab.HostOptions{UpgradeTo: next}, releases...)
}

func (w *World) hosts(opts lab.HostOptions, releases ...lab.Release) []*Host {
	w.Helper()
	files, err := pair.Files(agentBinary, "../../systemd/rlb-agent.service") // relative to the directory of a subject
	if err != nil {
		w.Fatal(err)
	}
	faulty, err := lab.LocalFile(faultyBinary, Faulty, 0o755)
	if err != nil {
		w.Fatal(err)
	}
	opts.Files = append(append(opts.Files, files...), faulty)
	booted, err := w.Lab.AddHosts(w.Context(), opts, releases...)
	if err != nil {
		w.Fatal(err)
	}
	var all []*Host
	for _, h := range booted {
		all = append(all, &Host{h, w})
	}
	return all
}

// Pair boots two installed hosts that run the spec, and waits until one of them holds the virtual IP.
func (w *World) Pair(text string, releases ...lab.Release) (active, standby *Host) {
	w.Helper()
	all := w.Hosts(true, releases...)
	for _, h := range all {
		h.Apply(text)
	}
	return w.Roles(all[0], all[1])
}

// Roles waits until exactly one of the two holds the virtual IP, and returns them by role.
func (w *World) Roles(a, b *Host) (active, standby *Host) {
	w.Helper()
	w.Eventually("exactly one host holds the virtual IP", 15*time.Second, func() bool { return a.Active() != b.Active() })
	if a.Active() {
		return a, b
	}
	return b, a
}

// Serves waits until the virtual IP leads to every one of the named control planes.
func (w *World) Serves(names ...string) {
	w.Helper()
	seen := map[string]bool{}
	w.Eventually(fmt.Sprintf("the virtual IP leads to %v", names), 15*time.Second, func() bool {
		if name, err := w.Client.Get(w.Context(), pair.Service); err == nil {
			seen[name] = true
		}
		for _, name := range names {
			if !seen[name] {
				return false
			}
		}
		return true
	})
}
