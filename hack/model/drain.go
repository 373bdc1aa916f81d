package model

import (
	"log/slog"

	"rlb.dev/rlb-agent/reconcile"
)

// drain begins to run rlb-agent drain, or undrain once that has ended: the real reconcile.Reconciler. The pair waits for its
// end.
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
		if err != nil { // nobody took over, as where the other host is in FAULT
			p.Lock()
			defer p.Unlock()
			p.tell("%s: %v", a.m.name, err)
		}
	})
}
