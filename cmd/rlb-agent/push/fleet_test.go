package push

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/cmd/rlb-agent/remote"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/status"
)

const (
	oldSpec = "old spec"
	newSpec = `apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [198.51.100.100]
nodes:
- {name: lb1, addresses: [198.51.100.11]}
- {name: lb2, addresses: [198.51.100.12]}
services:
- name: kube-apiserver
  port: 9000
  servers: [{name: cp1, address: 198.51.100.21, port: 6443}]
`
	callTime = 100 * time.Millisecond
	tryTime  = 20 * time.Second
)

// fakeHost is rlb-agent on a host, with the behaviour that a push depends on.
type fakeHost struct {
	role          host.Role
	spec          string // digest of the spec file, which is in force unless a trial runs
	trial, id, by string // trial: digest of the spec that is tried
	deadline      time.Time
	drifted       bool
	bad           bool      // it does not serve with the new spec
	keptOutBy     *fakeHost // with the new spec it stays out until this host has it too; nil: it does not stay out
	version       string
}

// settle ends an expired trial, as the timer of a host does.
func (f *fakeHost) settle() {
	if f.trial != "" && !time.Now().Before(f.deadline) {
		f.trial = ""
	}
}

// fault is a failure of a call: the call does not arrive, its answer is lost, or the answer is this
// one.
type fault struct {
	before, after error
	answer        *remote.Answer
}

// fleet holds hosts by name. It records every call; fault returns the failure of a call.
type fleet struct {
	mu    sync.Mutex
	hosts map[string]*fakeHost
	calls []string
	fault func(call string) fault
}

func digest(spec string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(spec))) }

func newFleet(hosts int) *fleet {
	f := &fleet{hosts: map[string]*fakeHost{}, fault: func(string) fault { return fault{} }}
	for i := range hosts {
		role := host.RoleBackup
		if i == 0 {
			role = host.RoleMaster
		}
		f.hosts[fmt.Sprintf("lb%d", i+1)] = &fakeHost{role: role, spec: digest(oldSpec), version: "v1.2.0"}
	}
	return f
}

func (f *fleet) names() (names []string) {
	for name := range f.hosts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// word returns the recorded name of a call.
func word(args []string) string {
	switch {
	case args[0] == "--once":
		return "dry-run"
	case args[0] == "try" && slices.Contains(args, "--end"):
		return "end"
	}
	return args[0]
}

func (f *fleet) Call(ctx context.Context, h remote.Host, c remote.Call) (remote.Answer, error) {
	time.Sleep(callTime)
	f.mu.Lock()
	defer f.mu.Unlock()
	call := h.Name + " " + word(c.Args)
	f.calls = append(f.calls, call)
	fails := f.fault(call)
	if ctx.Err() != nil {
		return remote.Answer{}, ctx.Err()
	}
	if fails.before != nil {
		return remote.Answer{}, fails.before
	}
	if fails.answer != nil {
		return *fails.answer, nil
	}
	return f.hosts[h.Name].do(c), fails.after
}

// value returns the word after a flag.
func value(args []string, flag string) string {
	if at := slices.Index(args, flag); at >= 0 {
		return args[at+1]
	}
	return ""
}

func (f *fakeHost) do(c remote.Call) remote.Answer {
	f.settle()
	id := value(c.Args, "--id")
	switch word(c.Args) {
	case "status":
		data, _ := json.Marshal(f.status())
		return remote.Answer{Stdout: string(data)}
	case "dry-run":
		return remote.Answer{Code: 1, Stdout: "write /etc/haproxy/haproxy.cfg\n"}
	case "try":
		timeout, err := time.ParseDuration(value(c.Args, "--timeout"))
		switch {
		case err != nil || value(c.Args, "--sha256") != fmt.Sprintf("%x", sha256.Sum256(c.Stdin)):
			return remote.Answer{Code: 3}
		case f.trial != "" || value(c.Args, "--replaces") != f.spec:
			return remote.Answer{Code: 4, Stderr: "rlb-agent: cannot change this host\n"}
		}
		f.trial, f.id, f.by, f.deadline = digest(string(c.Stdin)), id, value(c.Args, "--by"), time.Now().Add(timeout)
	case "end":
		if f.trial != "" && f.id == id {
			f.trial = ""
		}
	case "confirm":
		if f.trial == "" || f.id != id {
			return remote.Answer{Code: 2, Stderr: "rlb-agent: cannot confirm: no spec is tried, or its time is over\n"}
		}
		f.spec, f.trial = f.trial, ""
	}
	return remote.Answer{}
}

func (f *fakeHost) status() status.Status {
	s := status.Status{Kind: "LoadBalancerStatus", Role: f.role, Generation: 3, ObservedGeneration: 3, SpecDigest: f.spec}
	s.Versions.Agent = f.version
	inSync, serving := status.Condition{Type: "InSync", Status: "True"}, status.Condition{Type: "Serving", Status: "True"}
	if f.drifted {
		inSync = status.Condition{Type: "InSync", Status: "False", Reason: "Drifted", Message: "still to do: start haproxy"}
	}
	if f.trial != "" {
		inSync = status.Condition{Type: "InSync", Status: "False", Reason: "Trial", Message: "a spec is tried since 10:00:00 by " + f.by}
		s.Trial = &status.Trial{ID: f.id, SpecDigest: f.trial, By: f.by, Deadline: f.deadline}
	}
	if f.bad && (f.trial == digest(newSpec) || f.trial == "" && f.spec == digest(newSpec)) {
		serving = status.Condition{Type: "Serving", Status: "False", Message: "no server that is up"}
	}
	if f.keptOutBy != nil && f.trial == digest(newSpec) && f.keptOutBy.trial != f.trial {
		serving = status.Condition{Type: "Serving", Status: "False", Reason: status.KeptOut, Message: "keepalived is kept out"}
	}
	s.Conditions = []status.Condition{inSync, serving}
	return s
}

// specs returns the specs of the hosts after the end of every trial.
func (f *fleet) specs() (all []string) {
	time.Sleep(tryTime)
	for _, name := range f.names() {
		h := f.hosts[name]
		h.settle()
		switch {
		case h.trial != "":
			all = append(all, "tried")
		case h.spec == digest(oldSpec):
			all = append(all, "old")
		case h.spec == digest(newSpec):
			all = append(all, "new")
		default:
			all = append(all, "other")
		}
	}
	return all
}

// outcome is the result of a push.
type outcome struct {
	code           int
	err            string
	stdout, stderr string
}

// sees reports what the machine of the push reaches.
type sees func(target string) bool

func (s sees) Answers(_ context.Context, target string) bool { return s(target) }

func (sees) Source(string) netip.Addr { return netip.MustParseAddr("192.0.2.7") }

// push pushes the new spec with modified options.
func (f *fleet) push(t *testing.T, ctx context.Context, with ...func(*Push)) outcome {
	t.Helper()
	doc, err := api.Parse("spec.yaml", []byte(newSpec))
	if err != nil {
		t.Fatal(err)
	}
	var hosts []remote.Host
	for _, name := range f.names() {
		hosts = append(hosts, remote.Host{Name: name, Destination: name})
	}
	var stdout, stderr bytes.Buffer
	f.mu.Lock()
	id := fmt.Sprint("push", len(f.calls))
	f.mu.Unlock()
	p := &Push{Remote: f, Hosts: hosts, Doc: doc, ID: id, By: "alice@laptop", Timeout: tryTime, LockTimeout: time.Second,
		Version: "v1.3.0", Sees: sees(func(string) bool { return true }), Ask: func(string) bool { return true }, Out: &stdout, Log: &stderr}
	for _, change := range with {
		change(p)
	}
	err = p.Run(ctx)
	o := outcome{stdout: stdout.String(), stderr: stderr.String()}
	if err != nil {
		failure := (*remote.Failure)(nil)
		if !errors.As(err, &failure) {
			t.Fatalf("the error has no exit code: %v", err)
		}
		o.code, o.err = failure.Code, failure.Error()
	}
	return o
}

// changes returns the calls that change hosts.
func (f *fleet) changes() string {
	changes := slices.DeleteFunc(slices.Clone(f.calls), func(call string) bool {
		return !strings.HasSuffix(call, "try") && !strings.HasSuffix(call, "end") && !strings.HasSuffix(call, "confirm")
	})
	return strings.Join(changes, ", ")
}
