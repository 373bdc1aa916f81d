package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

const (
	vip     = "198.51.100.100"
	service = vip + ":9000"
	agent   = "/usr/local/sbin/rlb-agent"
	faulty  = "/usr/local/sbin/rlb-agent-faulty" // the agent with faults built in
	spec    = "/etc/rlb/spec.yaml"
)

// specOf is a spec of the lab's three control planes behind the virtual IP, with more lines at its end.
func specOf(more ...string) string {
	return `apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [198.51.100.100]
services:
- name: kube-apiserver
  port: 9000
  servers:
  - {name: cp1, address: 198.51.100.21, port: 6443}
  - {name: cp2, address: 198.51.100.22, port: 6443}
  - {name: cp3, address: 198.51.100.23, port: 6443}
` + strings.Join(more, "\n") + "\n"
}

const classic = "profile: classic"

// agentBinary is the agent: what RLB_AGENT names, else built once for all tests. faultsBinary is the same with the tag
// "faults": what RLB_FAULT says goes wrong in it.
var agentBinary, faultsBinary = os.Getenv("RLB_AGENT"), os.Getenv("RLB_AGENT_FAULTS")

func TestMain(m *testing.M) {
	code := func() int {
		if lab.Available() != nil || os.Getenv("RLB_LAB") != "1" {
			return m.Run() // every test says why it is skipped
		}
		dir, err := os.MkdirTemp("", "rlb-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		for tags, binary := range map[string]*string{"": &agentBinary, "faults": &faultsBinary} {
			if *binary != "" {
				continue
			}
			*binary = filepath.Join(dir, "rlb-agent"+tags)
			build := exec.Command("go", "build", "-trimpath", "-tags", tags, "-o", *binary, "../../cmd/rlb-agent")
			build.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "cannot build the agent: %v\n%s", err, out)
				return 1
			}
		}
		return m.Run()
	}()
	os.Exit(code)
}

// world is a lab with the three control planes and a client.
type world struct {
	*testing.T
	lab    *lab.Stage
	planes []*lab.ControlPlane
	client *lab.Client
}

func newWorld(t *testing.T) *world {
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
	return &world{T: t, lab: l, planes: l.Planes, client: l.Client}
}

// host is a booted host with the agent's binary on it, and what tests ask of it.
type host struct {
	*lab.Host
	w *world
}

// hosts boots hosts lb1, lb2 … of these releases at the same time, with names after those that are there. installed says that haproxy and keepalived are on
// them already, as after a plain apt-get install.
func (w *world) hosts(installed bool, releases ...lab.Release) []*host {
	w.Helper()
	binary, err := lab.LocalFile(agentBinary, agent, 0o755)
	faults, ferr := lab.LocalFile(faultsBinary, faulty, 0o755)
	if err = errors.Join(err, ferr); err != nil {
		w.Fatal(err)
	}
	booted, err := w.lab.AddHosts(w.Context(), lab.HostOptions{Installed: installed, Files: []lab.File{binary, faults}}, releases...)
	if err != nil {
		w.Fatal(err)
	}
	var all []*host
	for _, h := range booted {
		all = append(all, &host{h, w})
	}
	return all
}

// pair is two installed hosts that run the spec, settled: one of them holds the virtual IP.
func (w *world) pair(text string, releases ...lab.Release) (active, standby *host) {
	w.Helper()
	all := w.hosts(true, releases...)
	for _, h := range all {
		h.apply(text)
	}
	return w.roles(all[0], all[1])
}

// roles waits until exactly one of the two holds the virtual IP, and says which.
func (w *world) roles(a, b *host) (active, standby *host) {
	w.Helper()
	w.eventually("exactly one host holds the virtual IP", 15*time.Second, func() bool { return a.active() != b.active() })
	if a.active() {
		return a, b
	}
	return b, a
}

// eventually fails the test if the condition does not come true in time.
func (w *world) eventually(what string, within time.Duration, condition func() bool) {
	w.Helper()
	for deadline := time.Now().Add(within); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			for _, h := range w.lab.Hosts() {
				if !h.Up() {
					continue
				}
				out, _ := h.Sh(context.Background(), "ip -4 addr show eth0; systemctl status --no-pager -n 15 haproxy keepalived; iptables -S; journalctl -b --no-pager -n 60")
				w.Logf("%s:\n%s", h.Name(), out)
			}
			w.Fatalf("not within %v: %s", within, what)
		}
	}
}

// never fails the test if the condition comes true in that time.
func (w *world) never(what string, during time.Duration, condition func() bool) {
	w.Helper()
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if condition() {
			w.Fatalf("came true: %s", what)
		}
	}
}

// serves waits until the virtual IP leads to every one of the named control planes.
func (w *world) serves(names ...string) {
	w.Helper()
	seen := map[string]bool{}
	w.eventually(fmt.Sprintf("the virtual IP leads to %v", names), 15*time.Second, func() bool {
		if name, err := w.client.Get(w.Context(), service); err == nil {
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

// probe measures what a client sees while something is done, and for a moment after it.
func (w *world) probe(after time.Duration, do func()) lab.Report {
	w.Helper()
	p, err := w.client.Probe(service, lab.ProbeOptions{Interval: 10 * time.Millisecond})
	if err != nil {
		w.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	do()
	time.Sleep(after)
	report := p.Stop()
	w.Logf("probe: %d connections, %d failed, gap %v, itself late by %v, %v", report.Total, report.Failed, report.Gap, report.Late, report.Errors)
	return report
}
