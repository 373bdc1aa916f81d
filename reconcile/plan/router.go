package plan

import (
	"context"
	"errors"
	"slices"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render/vrrp"
)

// The identity of a virtual router (its id, version, transport …) changes on one host after the other. In between, two
// masters are possible, because neither hears the other. So the host that is changed first stays out while it hears a peer
// with the former identity. It joins when the last of these peers has said goodbye because it is changed too.

// is reports whether the former router is wanted again, for example after an edit that was taken back.
func (d Desired) is(f *state.FormerRouter) bool {
	if f == nil {
		return false
	}
	return !slices.ContainsFunc(f.Identities, func(old vrrp.Identity) bool {
		return !slices.ContainsFunc(d.Model.Routers, old.Covers)
	})
}

// waiting reports whether keepalived is kept out until the peer has changed too. The active unit that waits is the
// evidence, even if the record of the former router is lost: a start of keepalived now would make a second master.
func waiting(ctx context.Context, o host.Observer) (bool, error) {
	keepalived, err := o.Unit(ctx, host.KeepalivedUnit)
	if errors.Is(err, host.ErrUnavailable) { // the look at the units reports this error
		return false, nil
	}
	if err != nil || keepalived.Active() {
		return false, err
	}
	unit, err := o.Unit(ctx, host.RejoinUnit)
	return err == nil && unit.Active(), err
}

// router is the virtual router that keepalived is about to leave or has left; nil if it stays in its router.
func (p *planner) router() *state.FormerRouter {
	wanted := slices.ContainsFunc(p.d.Units, func(want UnitWant) bool { return want.Name == host.KeepalivedUnit && want.Run })
	former := p.o.Former
	switch {
	case !wanted && !p.o.Waiting, p.d.is(former):
		return nil
	case former == nil && !p.o.Units[host.KeepalivedUnit].Active():
		return nil
	}
	now := p.o.Files[p.d.Facts.KeepalivedConfig]
	ids := vrrp.Former(vrrp.Identities(now.Data), p.d.Model.Routers, p.o.Holds)
	switch {
	case former != nil: // a peer may already have the identity that this host was to get
		router := *former
		router.Identities = slices.Clip(router.Identities)
		for _, id := range ids {
			if !slices.Contains(router.Identities, id) {
				router.Identities = append(router.Identities, id)
			}
		}
		return &router
	case len(ids) > 0:
		return &state.FormerRouter{Interface: p.d.Facts.Interface, Identities: ids}
	}
	return nil
}

// leave plans to record the virtual router that keepalived is about to leave, or to forget it if keepalived need not leave
// it.
func (p *planner) leave() {
	p.former = p.router()
	switch {
	case p.former != nil && p.o.Former == nil:
		p.configure(noteFormer(p.former, forgetFormer(nil)))
	case p.former != nil && p.rewrites(p.d.Facts.KeepalivedConfig):
		p.again = true
		p.configure(p.endWaiting())
		p.configure(noteFormer(p.former, noteFormer(p.o.Former)))
	case p.d.is(p.o.Former):
		p.configure(forgetFormer(p.o.Former))
	}
}

const verbLeave = "leave"

// noteFormer records the identity with which keepalived runs, before its file changes.
func noteFormer(router *state.FormerRouter, undo ...Step) Step {
	return Step{
		Verb: verbLeave, Object: "virtual router", Text: "leave the virtual router (" + router.String() + ")", Undo: undo,
		Do: func(ctx context.Context, t *Tools) error {
			if len(router.From) == 0 {
				if err := router.FindSources(ctx, t.Host); err != nil {
					return err
				}
			}
			if err := router.FindBackup(ctx, t.Host); err != nil {
				return err
			}
			return router.Write(ctx, t.Host)
		},
	}
}

// forgetFormer removes the record and ends the wait. router is recorded again if this step is undone; nil for none.
func forgetFormer(router *state.FormerRouter) Step {
	s := Step{Verb: "forget", Object: "virtual router", Text: "forget the former virtual router", Do: func(ctx context.Context, t *Tools) error {
		return errors.Join(t.Host.StopUnit(ctx, host.RejoinUnit), router.Forget(ctx, t.Host))
	}}
	if router != nil {
		s.Undo = []Step{noteFormer(router)}
	}
	return s
}

// rewrites reports whether the content of a file changes.
func (p *planner) rewrites(path string) bool {
	return p.digestOf(path) != host.Digest(p.o.Files[path].Data)
}

// endWaiting ends the wait before keepalived's file changes. The waiting process could otherwise start keepalived with the
// old file, unnoticed.
func (p *planner) endWaiting() Step {
	s := stopUnit(host.RejoinUnit)
	if p.o.Waiting {
		back := rejoin(host.KeepalivedUnit, p.d.Facts.KeepalivedConfig, p.o.Former, true)
		back.Rank = RankStart
		s = s.undoneBy(back)
	}
	return s
}

// rejoin lets a keepalived that has left one virtual router join another, at once or when the peer does. waited means that
// the waiting process may have started keepalived with its old file since the look.
func rejoin(name, config string, router *state.FormerRouter, waited bool) Step {
	s := unitStep("start", name, nil)
	s.Text = "start " + name + " when no peer uses the former virtual router any more"
	s.Loads, s.Serving = Load{name, config}, true
	if !waited {
		s.Undo = []Step{rejoinFormer(name, config)}
	}
	s.Do = func(ctx context.Context, t *Tools) error {
		if waited {
			if err := t.Host.StopUnit(ctx, name); err != nil {
				return err
			}
		}
		heard, err := t.Host.HearsRouter(ctx, router.Interface, router.Identities, router.From, router.AfterLeaving())
		if err != nil && !errors.Is(err, host.ErrUnavailable) {
			return err
		}
		if heard && len(t.Rejoin) > 0 {
			return t.Host.RunDetached(ctx, host.RejoinUnit, t.Rejoin...)
		}
		if err := t.Host.StartUnit(ctx, name); err != nil {
			return err
		}
		return router.Forget(ctx, t.Host)
	}
	return s
}

// rejoinFormer undoes a rejoin, after the former configuration is back in its file.
func rejoinFormer(name, config string) Step {
	s := unitStep("restart", name, nil)
	s.Text = "restart " + name + " in the former virtual router"
	s.Loads, s.Serving = Load{name, config}, true
	s.Do = func(ctx context.Context, t *Tools) error {
		return errors.Join(t.Host.StopUnit(ctx, host.RejoinUnit), t.Host.RemoveFile(ctx, state.FormerFile), t.Host.RestartUnit(ctx, name))
	}
	return s
}
