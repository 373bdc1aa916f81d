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

// askTime bounds each question to HAProxy: one that hangs must not hang the status.
const askTime = 400 * time.Millisecond

// Known is what spares keepalived a question: 2.2 logs each.
type Known struct {
	Before Status                     // what this process read last, or the zero value
	Quiet  func(since time.Time) bool // keepalived's log shows that its role has not changed since it told it then; nil: nobody can tell
}

// Read is the status of this host now. It changes nothing. doc is nil where the spec is refused, for the reason
// in specErr; then what was in force last counts.
func Read(ctx context.Context, o host.Observer, doc *api.Document, specErr error, known Known) (Status, error) {
	r, err := newReading(ctx, o, nil)
	if err != nil {
		return Status{}, err
	}
	if r.told = r.last; known.Before.RoleSeen.After(r.told.RoleSeen) {
		r.told = known.Before
	}
	r.quiet = known.Quiet
	return r.read(ctx, doc, specErr, nil)
}

// read looks at the host. look is what was found just now, or nil.
func (r *reading) read(ctx context.Context, doc *api.Document, specErr error, look *plan.Look) (Status, error) {
	o := r.o
	if look != nil {
		defer r.askKeepalived(ctx, look.Observed.Units[host.KeepalivedUnit])()
	}
	memory, err := state.ReadMemory(ctx, o)
	if r.unseen("the spec in force", err) {
		return Status{}, err
	}
	hidden := err != nil // an ordinary user may not know what is in force
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
	var waiting []plan.Step // of a spec that is not in force
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

// judged is the spec by which this host is judged: what is tried, else what is in force, else the one of the file.
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

// hostName is the name of this host.
func (r *reading) hostName(ctx context.Context) string {
	f, err := r.o.File(ctx, "/proc/sys/kernel/hostname")
	r.note("the name of this host", err)
	return strings.TrimSpace(string(f.Data))
}

// Last is the status that was written last; the zero value where none was, or where it is garbled.
func Last(ctx context.Context, o host.Observer) (Status, error) {
	return state.ReadDerived[Status](ctx, o, state.StatusFile)
}

// Refresh brings up to date, in a status of a moment ago, what can be seen without a command and without
// disturbing keepalived: addresses, servers, and what the daemon's watchers left. doc is the spec in force; health is as in
// Report.
func Refresh(ctx context.Context, o host.Observer, doc *api.Document, s Status, health *state.GuardRecord) (Status, error) {
	return refresh(ctx, o, doc, s, health, (*reading).cachedRole)
}

// Follow brings the status file up to date after an event: as Refresh, and keepalived is asked for its role.
func Follow(ctx context.Context, h host.Host, doc *api.Document, health *state.GuardRecord) (Status, error) {
	s, err := Last(ctx, h)
	if err != nil || s.Kind == "" {
		return s, err // the next run leaves one
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
	o       host.Observer
	spec    *api.LoadBalancerSpec
	look    plan.Look
	last    Status // that was written last
	told    Status // that has the role which keepalived told last; the zero value where it is to be asked
	quiet   func(since time.Time) bool
	lastRun *Run  // of the reconciler
	refusal error // by which a run was refused just now; nil for none
	ended   bool  // a run has ended just now: apt may be asked for updates, that is a command
	now     time.Time
	guard   state.GuardRecord
	health  *state.GuardRecord // in place of the one in the file; nil is that one
	heard   *peers.Table       // what the peers' agents say; nil until it is read
	notSeen []string

	instances func() ([]host.Instance, error) // what keepalived answers; nil where it was not asked yet

	keptOut     bool // keepalived does not run, and waits for the peers
	agentUnseen bool // systemd did not say whether the daemon runs
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

// unseen notes what this machine lacks or may not be looked at, and says whether the error is any other.
func (r *reading) unseen(what string, err error) bool {
	if errors.Is(err, host.ErrUnavailable) {
		r.notSeen = append(r.notSeen, fmt.Sprintf("%s: %v", what, err))
		return false
	}
	return err != nil
}

// note is unseen where any error is only a note.
func (r *reading) note(what string, err error) {
	if r.unseen(what, err) {
		r.notSeen = append(r.notSeen, fmt.Sprintf("%s: %v", what, err))
	}
}

// records reads what the daemon and the administrator left.
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

// live is what changes by itself: addresses and servers. The conditions that follow from them come last.
func (r *reading) live(ctx context.Context, s *Status) {
	problems := slices.Concat(r.virtualIPs(ctx, s), r.services(ctx, s))
	s.NotSeen = append(s.NotSeen, r.notSeen...)
	slices.Sort(s.NotSeen)
	s.NotSeen = slices.Compact(s.NotSeen)
	s.Claimed = r.guard.Claimed
	r.headroom(ctx, s)
	s.set(r, r.serving(s, problems))
	s.set(r, s.ready())
	r.agents(s, r.table(ctx), time.Now())
}

// unit is the state of a unit, seen just now or looked at; ok is false where nobody can tell.
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
