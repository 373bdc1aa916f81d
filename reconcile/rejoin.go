package reconcile

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// What a virtual router is known by (its id, version, transport …) changes on one host after the other. In between two
// holders are never far: neither hears the other. So the host that was changed first stays out as long as it hears a
// peer under the former identity, and joins when that peer says goodbye, to be changed itself.
const (
	formerFile = host.RunDir + "/former.json"
	rejoinUnit = "rlb-rejoin.service" // waits for the peer; it outlives the agent
)

// FormerRouter is the virtual router that this host left for another.
type FormerRouter struct {
	Interface  string            `json:"interface"`
	Identities []render.Identity `json:"identities"`
}

// ReadFormer is the router that was left and whose end is waited for; nil where there is none.
func ReadFormer(ctx context.Context, o host.Observer) (*FormerRouter, error) {
	var former FormerRouter
	if err := readJSON(ctx, o, formerFile, &former); err != nil || len(former.Identities) == 0 {
		return nil, err
	}
	return &former, nil
}

// Forget ends the waiting: this host has joined, or nothing waits.
func (f *FormerRouter) Forget(ctx context.Context, h host.Host) error {
	return h.RemoveFile(ctx, formerFile)
}

// Silence is the time after which a router that says nothing is gone (RFC 9568 §6.1, Active_Down_Interval, and some more).
func (f *FormerRouter) Silence() time.Duration { return 4 * f.period() }

// listen is how long a router that is there takes to show itself: as master by its next advertisement, and as the
// backup of a master that has just said goodbye after its skew, which is less than an interval, in version 2 than a second.
func (f *FormerRouter) listen() time.Duration { return f.period()*3/2 + 50*time.Millisecond }

func (f *FormerRouter) period() time.Duration {
	longest := time.Duration(0)
	for _, id := range f.Identities {
		longest = max(longest, id.Period)
	}
	return longest
}

func (f *FormerRouter) String() string {
	var all []string
	for _, id := range f.Identities {
		all = append(all, id.String())
	}
	return strings.Join(all, "; ")
}

// isNow says that what was left is wanted again, as after an edit that was taken back.
func (f *FormerRouter) isNow(d Desired) bool {
	if f == nil {
		return false
	}
	wanted := d.routers()
	return !slices.ContainsFunc(f.Identities, func(old render.Identity) bool {
		return !slices.ContainsFunc(wanted, old.Covers)
	})
}

// routers are the identities of keepalived's instances.
func (d Desired) routers() []render.Identity {
	for _, f := range d.Files {
		if f.Kind == render.KeepalivedConfig {
			return render.Identities(f.Data)
		}
	}
	return nil
}

// waiting says whether keepalived is kept out until the peer has changed too.
func waiting(ctx context.Context, o host.Observer, former *FormerRouter) (bool, error) {
	if former == nil {
		return false, nil
	}
	unit, err := o.Unit(ctx, rejoinUnit)
	if err != nil || !unit.Active() {
		return false, err
	}
	keepalived, err := o.Unit(ctx, host.KeepalivedUnit)
	return err == nil && !keepalived.Active(), err
}

// router is the virtual router that keepalived is about to leave, or has left; nil where it stays what it is.
func (p *planner) router() *FormerRouter {
	wanted := slices.ContainsFunc(p.d.Units, func(want UnitWant) bool { return want.Name == host.KeepalivedUnit && want.Run })
	switch {
	case !wanted, p.o.Former.isNow(p.d):
		return nil
	case p.o.Former != nil:
		return p.o.Former
	case !p.o.Units[host.KeepalivedUnit].Active():
		return nil
	}
	now := p.o.Files[p.d.Facts.KeepalivedConfig]
	if ids := render.Former(render.Identities(now.Data), p.d.routers(), p.o.Holds); len(ids) > 0 {
		return &FormerRouter{p.d.Facts.Interface, ids}
	}
	return nil
}

// leave notes the virtual router that keepalived is about to leave, or that it need not leave after all.
func (p *planner) leave() {
	p.former = p.router()
	switch {
	case p.former != nil && p.o.Former == nil:
		p.configure(noteFormer{p.former})
	case p.o.Former.isNow(p.d):
		p.configure(forgetFormer{p.o.Former})
	}
}

// noteFormer remembers what keepalived runs as, before its file says otherwise.
type noteFormer struct{ router *FormerRouter }

func (s noteFormer) String() string { return "leave the virtual router (" + s.router.String() + ")" }
func (s noteFormer) Diff() string   { return "" }
func (s noteFormer) undo() []Step   { return []Step{forgetFormer{}} }
func (s noteFormer) apply(ctx context.Context, t *tools) error {
	return writeJSON(ctx, t.host, formerFile, s.router)
}

// forgetFormer ends it, and with it the waiting.
type forgetFormer struct {
	router *FormerRouter // that is remembered again where this is undone, or nil
}

func (forgetFormer) String() string { return "forget the former virtual router" }
func (forgetFormer) Diff() string   { return "" }
func (s forgetFormer) undo() []Step {
	if s.router == nil {
		return nil
	}
	return []Step{noteFormer(s)}
}
func (forgetFormer) apply(ctx context.Context, t *tools) error {
	return errors.Join(t.host.StopUnit(ctx, rejoinUnit), t.host.RemoveFile(ctx, formerFile))
}

// rejoin lets a keepalived that has left one virtual router join another, at once or when the peer does.
type rejoin struct {
	name, config string
	router       *FormerRouter
}

func (s rejoin) String() string {
	return "start " + s.name + " once no peer is the former virtual router any more"
}
func (s rejoin) Diff() string { return "" }
func (s rejoin) undo() []Step { return []Step{rejoinFormer{s.name, s.config}} }
func (s rejoin) apply(ctx context.Context, t *tools) error {
	heard, err := t.host.HearsRouter(ctx, s.router.Interface, s.router.Identities, s.router.listen())
	if err != nil && !errors.Is(err, host.ErrUnavailable) {
		return err
	}
	if heard && len(t.rejoin) > 0 {
		return t.host.RunDetached(ctx, rejoinUnit, t.rejoin...)
	}
	if err := t.host.StartUnit(ctx, s.name); err != nil {
		return err
	}
	return t.host.RemoveFile(ctx, formerFile)
}

// rejoinFormer is the way back from a rejoin: the former configuration is in its file again.
type rejoinFormer struct{ name, config string }

func (s rejoinFormer) String() string { return "restart " + s.name + " as the former virtual router" }
func (s rejoinFormer) Diff() string   { return "" }
func (s rejoinFormer) undo() []Step   { return nil }
func (s rejoinFormer) apply(ctx context.Context, t *tools) error {
	return errors.Join(t.host.StopUnit(ctx, rejoinUnit), t.host.RemoveFile(ctx, formerFile), t.host.RestartUnit(ctx, s.name))
}
