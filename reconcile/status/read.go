package status

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/peers"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
)

// askTime limits each question to HAProxy, so that a hanging HAProxy does not block the status.
const askTime = 400 * time.Millisecond

// Known helps Read to use keepalived's last answer again. keepalived 2.2 logs each question.
type Known struct {
	Before Status                     // the status that this process read last, or the zero value
	Quiet  func(since time.Time) bool // reports whether keepalived's log shows no change of its role since then; nil: not known
}

// Read reads the present status of this host. It changes nothing. doc is nil if the spec is refused, for the reason in
// specErr; the status then describes the spec that was last in force.
func Read(ctx context.Context, o host.Observer, doc *api.Document, specErr error, known Known) (Status, error) {
	r, err := newReading(ctx, o, nil)
	if err != nil {
		return Status{}, err
	}
	if r.answered = r.last; known.Before.RoleSeen.After(r.answered.RoleSeen) {
		r.answered = known.Before
	}
	r.quiet = known.Quiet
	return r.read(ctx, doc, specErr, nil)
}

// read looks at the host, unless look already holds a recent look; else look is nil.
func (r *reading) read(ctx context.Context, doc *api.Document, specErr error, look *plan.Look) (Status, error) {
	o := r.o
	if look != nil {
		defer r.askKeepalived(ctx, look.Observed.Units[host.KeepalivedUnit])()
	}
	memory, err := state.ReadMemory(ctx, o)
	if r.unseen("the spec in force", err) {
		return Status{}, err
	}
	hidden := err != nil // an ordinary user cannot read which spec is in force
	s := Status{
		APIVersion: api.APIVersion, Kind: "LoadBalancerStatus", Role: host.RoleUnknown, Host: r.hostName(ctx),
		Generation: memory.Generation, ObservedGeneration: memory.Generation, LastReconcile: r.lastRun, FromFile: hidden,
	}
	trial, _ := state.RunningTrial(ctx, o)
	if trial != nil && trial.Over(r.now) {
		trial = nil
	}
	if doc != nil {
		s.SpecDigest = doc.Digest
	}
	var waiting []plan.Step // steps of a spec that is not in force
	noneYet := doc == nil && memory.Generation == 0 && errors.Is(specErr, fs.ErrNotExist)
	if !hidden && !noneYet && (doc == nil || doc.Digest != memory.Digest) {
		s.Generation++
		waiting = r.pending(ctx, &s, doc, specErr, memory.Known)
	}
	s.set(r, s.specValid(specErr, noneYet))
	agent := r.agent(ctx, &s)
	if p := s.PendingSpec; p != nil && !p.Refused && memory.Generation == 0 && trial == nil && !r.ended {
		s.FirstRun = doing(agent)
	}
	judged := r.judged(ctx, &s, doc, memory.Digest, trial)
	if judged == nil {
		s.set(r, withoutSpec(specErr, noneYet))
		s.NotSeen = r.notSeen
		return s, nil
	}
	if look == nil {
		look = new(plan.Look)
		*look, err = plan.FactFinder{Observer: o}.Look(ctx, &judged.Spec)
	}
	r.look, r.spec, r.notSeen = *look, &judged.Spec, append(r.notSeen, look.Observed.Unchecked...)
	s.Metadata.Name, s.Node = judged.Spec.Metadata.Name, look.Desired.Facts.Node
	s.Versions = Versions{HAProxy: string(look.Desired.Facts.HAProxyVersion), Keepalived: string(look.Desired.Facts.KeepalivedVersion)}
	if !hidden {
		s.Pending = look.Plan.Pending
	}
	s.Updates = r.updates(ctx, look.Observed.Packages)
	r.records(ctx, &s)
	if p := s.PendingSpec; p != nil && !p.Refused && trial == nil && judged != doc {
		s.set(r, notApplied(waiting))
	} else {
		s.set(r, r.inSync(&s, err, trial, judged.Digest == memory.Digest))
	}
	if !r.recentRole(ctx, &s) {
		r.role(ctx, &s)
	}
	r.peers(ctx, &s)
	r.live(ctx, &s)
	return s, nil
}

// judged is the spec that this host is compared with: the spec on trial, else the spec in force, else the spec of the
// file.
func (r *reading) judged(ctx context.Context, s *Status, doc *api.Document, digest string, trial *state.Trial) *api.Document {
	if trial != nil {
		if tried, err := state.TrialSpec(ctx, r.o); err == nil {
			s.Trial = &Trial{ID: trial.ID, File: trial.File, SpecDigest: tried.Digest, By: trial.By, Since: trial.Since, Deadline: trial.Deadline}
			return tried
		}
	}
	if s.FromFile || doc != nil && doc.Digest == digest {
		return doc
	}
	good, err := state.LastGood(ctx, r.o)
	if err != nil {
		r.note("the spec in force", err)
	}
	if err != nil || good == nil {
		return doc
	}
	return good
}

func (r *reading) hostName(ctx context.Context) string {
	f, err := r.o.File(ctx, "/proc/sys/kernel/hostname")
	r.note("the name of this host", err)
	return strings.TrimSpace(string(f.Data))
}

// Last is the status that was written last. It is the zero value if there is none, or if the file is damaged.
func Last(ctx context.Context, o host.Observer) (Status, error) {
	return state.ReadDerived[Status](ctx, o, state.StatusFile)
}

// Refresh updates a recent status with what can be seen without a command and without a signal to keepalived:
// addresses, servers, and what the daemon's watchers recorded. doc is the spec in force. health has the meaning of
// Report.Health.
func Refresh(ctx context.Context, o host.Observer, doc *api.Document, s Status, health *state.GuardRecord) (Status, error) {
	return refresh(ctx, o, doc, s, health, (*reading).cachedRole)
}

// Follow updates the status file after an event. Unlike Refresh it asks keepalived for its role.
func Follow(ctx context.Context, h host.Host, doc *api.Document, health *state.GuardRecord) (Status, error) {
	s, err := Last(ctx, h)
	if err != nil || s.Kind == "" {
		return s, err // the next run writes a status
	}
	if s, err = refresh(ctx, h, doc, s, health, (*reading).role); err != nil {
		return s, err
	}
	return s, errors.Join(s.noteRole(ctx, h), s.Write(ctx, h))
}

func refresh(ctx context.Context, o host.Observer, doc *api.Document, s Status, health *state.GuardRecord, role func(*reading, context.Context, *Status)) (Status, error) {
	r, err := newReading(ctx, o, health)
	if err != nil {
		return s, err
	}
	r.last, r.spec = s, &doc.Spec
	s.Conditions = slices.Clone(s.Conditions)
	s.VirtualIPs, s.Services, s.NotSeen = nil, nil, slices.Clone(s.NotSeen)
	r.records(ctx, &s)
	role(r, ctx, &s)
	r.live(ctx, &s)
	return s, nil
}

// reading is one look at the host for its status.
type reading struct {
	o        host.Observer
	spec     *api.LoadBalancerSpec
	look     plan.Look
	last     Status // the status that was written last
	answered Status // the status with keepalived's last answer; the zero value if keepalived must be asked
	quiet    func(since time.Time) bool
	lastRun  *Run  // the last run of the reconciler
	refusal  error // that refused a run just now; nil for none
	ended    bool  // a run has just ended, so apt may be asked for updates, which runs a command
	now      time.Time
	guard    state.GuardRecord
	health   *state.GuardRecord // used in place of the one in the file; nil: the file is used
	heard    *peers.Table       // what the peers' agents report; nil until it is read
	notSeen  []string
	looked   []string // the beginnings of the texts in NotSeen about what this reading looked at

	instances func() ([]host.Instance, error) // keepalived's answer; nil until it is asked

	keptOut     bool // keepalived does not run and waits for the peers
	agentUnseen bool // systemd did not report whether the daemon runs
}

func newReading(ctx context.Context, o host.Observer, health *state.GuardRecord) (*reading, error) {
	r := &reading{o: o, health: health, now: time.Now().Truncate(time.Second)}
	var err error
	r.last, err = Last(ctx, o)
	if r.unseen("the status of the last run", err) {
		return nil, err
	}
	r.lastRun = r.last.LastReconcile
	return r, nil
}

// unseen notes an err that means that this machine lacks something or that this user may not see it. It reports whether
// err is any other error.
func (r *reading) unseen(what string, err error) bool {
	if errors.Is(err, host.ErrUnavailable) {
		r.notSeen = append(r.notSeen, fmt.Sprintf("%s: %v", what, err))
		return false
	}
	return err != nil
}

// note is like unseen, but notes any error.
func (r *reading) note(what string, err error) {
	r.looked = append(r.looked, what+": ")
	if r.unseen(what, err) {
		r.notSeen = append(r.notSeen, fmt.Sprintf("%s: %v", what, err))
	}
}

// records reads what the daemon and the administrator recorded.
func (r *reading) records(ctx context.Context, s *Status) {
	var err error
	s.Drift, err = state.ReadDrift(ctx, r.o)
	r.note("drift", err)
	if r.health != nil {
		r.guard = *r.health
	} else {
		r.guard, err = state.ReadGuard(ctx, r.o)
		r.note("failover's verdict", err)
	}
	s.Drained, err = state.Drained(ctx, r.o)
	r.note("whether this host is drained", err)
	s.Draining = nil
	waiting, err := state.ReadWaiting(ctx, r.o)
	r.note("the connections of a drained host", err)
	if waiting.On() && !waiting.Moved.IsZero() && r.now.Before(waiting.Until) {
		s.Draining = &Draining{waiting.Left, waiting.Until.Truncate(time.Second)}
	}
	s.DrainedSince, s.DrainedBy = time.Time{}, ""
	if s.Drained {
		drain, err := state.ReadDrain(ctx, r.o)
		r.note("since when this host is drained", err)
		s.DrainedSince, s.DrainedBy = drain.Since, drain.By
	}
}

// live reads what changes without a run of the agent: addresses and servers. It then sets the conditions that depend on
// them.
func (r *reading) live(ctx context.Context, s *Status) {
	problems := slices.Concat(r.virtualIPs(ctx, s), r.services(ctx, s))
	s.NotSeen = slices.DeleteFunc(s.NotSeen, func(text string) bool { // those of an earlier look
		return slices.ContainsFunc(r.looked, func(what string) bool { return strings.HasPrefix(text, what) })
	})
	s.NotSeen = append(s.NotSeen, r.notSeen...)
	slices.Sort(s.NotSeen)
	s.NotSeen = slices.Compact(s.NotSeen)
	s.Claimed = r.guard.Claimed
	r.headroom(ctx, s)
	s.set(r, r.serving(s, problems))
	s.set(r, s.ready())
	r.agents(s, r.table(ctx), time.Now())
}

// unit is the state of a unit, from the look at this host or else from systemd. ok is false if it cannot be read.
func (r *reading) unit(ctx context.Context, name string) (u host.Unit, ok bool) {
	if u, ok = r.look.Observed.Units[name]; ok {
		return u, true
	}
	u, err := r.o.Unit(ctx, name)
	r.note(name, err)
	return u, err == nil
}

func said(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
