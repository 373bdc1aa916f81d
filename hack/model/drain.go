package model

import (
	"log/slog"

	"rlb.dev/rlb-agent/reconcile"
)

// drain starts rlb-agent drain, or undrain once the drain has ended. Both run the real reconcile.Reconciler. pair.end waits
// for the command.
func (p *pair) drain(a *act, out bool) {
	before := a.drained
	ended := make(chan struct{})
	a.drained = ended
	process := &agent{m: a.m}
	p.commands.Go(func() {
		defer close(ended)
		if before != nil {
			<-before
		}
		unlock, err := process.lock(p.ctx)
		if err != nil {
			return
		}
		defer unlock()
		p.Lock()
		r, doc := reconcile.Reconciler{Host: commandOf(process), Log: slog.New(slog.DiscardHandler)}, a.m.doc
		p.Unlock()
		if out {
			_, err = r.Drain(p.ctx, doc, false, 0)
		} else {
			_, err = r.Undrain(p.ctx, doc)
		}
		if err != nil { // for example no host took over, because the other one is in FAULT
			p.Lock()
			defer p.Unlock()
			p.tell("%s: %v", a.m.name, err)
		}
	})
}
