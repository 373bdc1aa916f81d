// Package doctor finds problems of a host or its network, and names a fix for each. It only reads: it changes nothing, runs
// no program that the spec names, and ends after a limited time.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
)

// Host is the machine to examine. debian.Host implements it.
type Host interface {
	host.Observer
	host.Diagnosis
}

// Severity is how bad a finding is.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // the service does not work, or fails with the next event
	Warning Severity = "warning" // the service works, but a later event may break it
)

// severities lists the severities in the order of a report.
var severities = []Severity{Error, Warning}

// Finding is one present or future problem.
type Finding struct {
	Check    string   `json:"check"`
	Severity Severity `json:"severity"`
	Title    string   `json:"title"`
	Message  string   `json:"message"` // what was seen
	Fix      string   `json:"fix"`     // a command or a change
}

// Outcome is how a check ended.
type Outcome string

// The outcomes.
const (
	Passed  Outcome = "Passed"
	Found   Outcome = "Found"
	Skipped Outcome = "Skipped" // the check could not be made
)

// Result is the result of one check.
type Result struct {
	Check  string  `json:"check"`
	Result Outcome `json:"result"`
	Reason string  `json:"reason,omitempty"` // why the check was skipped, or what it saw
}

// Report is the result of an examination.
type Report struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Findings   []Finding `json:"findings"` // errors first
	Checks     []Result  `json:"checks"`
}

// Options are the parameters of Examine. Doc and Now are required.
type Options struct {
	Doc    *api.Document
	Listen time.Duration // how long to listen for VRRP advertisements
	Now    time.Time
}

// slack is the longest time for everything except listening.
const slack = 6 * time.Second

// check is one subject. err says why the check could not be made. note says what the check saw if it found no problem.
type check struct {
	name    string
	examine func(context.Context, *exam) (findings []Finding, note string, err error)
}

// checks lists all checks in the order of a report.
var checks = []check{
	{"spec-file", specFile},
	{"interface", interfaces},
	{"network-manager", networkManagers},
	{"ports", ports},
	{"virtual-ips", virtualIPs},
	{"router-id", routerIDs},
	{"peer", peers},
	{"peer-agent", peerAgents},
	{"firewall", firewall},
	{"iptables", mixedTables},
	{"sysctl", sysctls},
	{"handover", handover},
	{"limits", limits},
	{"servers", servers},
	{"units", units},
	{"packages", packages},
	{"restarts", restarts},
	{"apparmor", appArmor},
	{"agent", agent},
}

// exam holds what several checks need. prepare makes the slow queries at the same time, before the checks.
type exam struct {
	Options
	host Host
	spec *api.LoadBalancerSpec

	look    plan.Look // with likely values for facts that the host lacks
	lookErr error
	refused *plan.FieldError // why the facts of the host do not fit the spec

	memory  state.Memory
	network []host.Interface
	links   []host.Link

	chains      []host.FilterChain
	chainsErr   error
	chainsNotes []string // which parts could not be read

	last    status.Status // status after the last run
	lastErr error

	routers    []host.Router
	routersErr error
	answers    []serverAnswer
	role       host.Role
	holders    map[string]string // MACs by address, of the machines that answer for virtual IPs, peers and routers
	holdersErr error
}

// Examine runs all checks. It takes at most o.Listen plus slack.
func Examine(ctx context.Context, h Host, o Options) Report {
	ctx, cancel := context.WithTimeout(ctx, o.Listen+slack)
	defer cancel()
	e := &exam{Options: o, host: h, spec: &o.Doc.Spec}
	e.prepare(ctx)
	report := Report{APIVersion: api.APIVersion, Kind: "DoctorReport", Findings: []Finding{}}
	for _, c := range checks {
		findings, note, err := c.examine(ctx, e)
		result := Result{Check: c.name, Result: Passed, Reason: note}
		for _, f := range findings {
			f.Check, result.Result, result.Reason = c.name, Found, ""
			report.Findings = append(report.Findings, f)
		}
		switch {
		case err != nil && result.Result == Passed:
			result.Result, result.Reason = Skipped, err.Error()
		case err != nil:
			result.Reason = "not all could be checked: " + err.Error()
		}
		report.Checks = append(report.Checks, result)
	}
	slices.SortStableFunc(report.Findings, func(a, b Finding) int {
		return slices.Index(severities, a.Severity) - slices.Index(severities, b.Severity)
	})
	return report
}

// prepare reads what several checks need.
func (e *exam) prepare(ctx context.Context) {
	e.memory, _ = state.ReadMemory(ctx, e.host) // after an error the host counts as one before its first run
	e.network, _ = e.host.Interfaces(ctx)
	e.links, _ = e.host.Links(ctx)
	e.chains, e.chainsNotes, e.chainsErr = e.host.FilterChains(ctx)
	e.last, e.lastErr = status.Last(ctx, e.host)
	e.look, e.lookErr = plan.FactFinder{Observer: e.host}.Look(ctx, e.spec)
	if errors.As(e.lookErr, &e.refused) {
		e.look, e.lookErr = plan.FactFinder{Observer: e.host, Assume: true}.Look(ctx, e.spec)
	}
	if e.routersErr = e.lookErr; e.routersErr == nil && len(e.links) > 0 && e.link(e.iface()) == nil {
		e.routersErr = fmt.Errorf("cannot look at the network: interface %s is not on this host", e.iface())
	}
	e.holdersErr = e.routersErr
	var all sync.WaitGroup
	all.Go(func() {
		if e.routersErr == nil {
			e.routers, e.routersErr = e.host.Routers(ctx, e.iface(), e.Listen)
		}
	})
	all.Go(func() { e.answers = askServers(ctx, e) })
	all.Wait()
	e.role, _ = status.KeepalivedRole(ctx, e.host)
	e.findHolders(ctx)
}

// iface returns the interface of the virtual IPs.
func (e *exam) iface() string { return e.look.Desired.Facts.Interface }

// applied says whether a run of the agent has changed this host before.
func (e *exam) applied() bool { return e.memory.Known && e.memory.Generation > 0 }

// link returns an interface of this host by name, or nil.
func (e *exam) link(name string) *host.Link {
	for i := range e.links {
		if e.links[i].Name == name {
			return &e.links[i]
		}
	}
	return nil
}

func errorf(title, fix, format string, args ...any) Finding {
	return Finding{Severity: Error, Title: title, Fix: fix, Message: fmt.Sprintf(format, args...)}
}

func warningf(title, fix, format string, args ...any) Finding {
	return Finding{Severity: Warning, Title: title, Fix: fix, Message: fmt.Sprintf(format, args...)}
}

// specFile checks that only root can write the spec file, because a run refuses it otherwise.
func specFile(ctx context.Context, e *exam) ([]Finding, string, error) {
	err := e.host.RootOnly(ctx, e.Doc.File)
	switch {
	case err == nil || errors.Is(err, fs.ErrNotExist):
		return nil, e.Doc.File, nil
	case errors.Is(err, host.ErrUnavailable):
		return nil, "", err
	}
	return []Finding{errorf("users other than root can change the spec file", specFix, "%s: %v; the agent refuses it", e.Doc.File, err)}, "", nil
}

// specPath is where the daemon and --once read the spec.
const specPath = "/etc/rlb/spec.yaml"

const specFix = "keep the spec at " + specPath + ", and write it as root only: chown -R root:root /etc/rlb && chmod 0755 /etc/rlb && chmod 0644 /etc/rlb/spec.yaml"
