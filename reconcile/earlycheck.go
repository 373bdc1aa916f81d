package reconcile

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/render"
)

// An EarlyCheck has HAProxy check its new file, and looks at what serves now, while the host is still being looked at: each
// takes some hundredths of a second, and an edit waits for all. The zero value has checked nothing.
type EarlyCheck struct {
	file render.File
	done chan struct{} // nil where nothing was to be checked

	// once done
	unchecked []string // of the check
	err       error
	base      baseline
}

// Start checks what a spec wants, where that is another haproxy.cfg than the installed one. It does not wait.
func (e *EarlyCheck) Start(ctx context.Context, h host.Observer, d plan.Desired) {
	at := slices.IndexFunc(d.Files, func(f render.File) bool { return f.Kind == render.HAProxyConfig })
	if at < 0 {
		return
	}
	file := d.Files[at]
	have, err := h.File(ctx, file.Path)
	if err != nil || !have.Exists || bytes.Equal(have.Data, file.Data) {
		return
	}
	done := make(chan struct{})
	e.file, e.done = file, done
	go func() {
		defer close(done)
		var base sync.WaitGroup
		base.Go(func() { e.base = takeBaseline(ctx, h) })
		e.unchecked, e.err = h.Check(ctx, []render.File{file})
		base.Wait()
	}()
}

// Wait waits for the end of a check that nobody may have asked for.
func (e *EarlyCheck) Wait() {
	if e != nil && e.done != nil {
		<-e.done
	}
}

// served is what served when the check began; where there was none, what serves now.
func (e *EarlyCheck) served(ctx context.Context, h host.Observer) baseline {
	if e == nil || e.done == nil {
		return takeBaseline(ctx, h)
	}
	e.Wait()
	return e.base
}

// check asks for the files what was not asked for yet.
func (e *EarlyCheck) check(ctx context.Context, h host.Observer, files []render.File) error {
	checked := func(f render.File) bool {
		if e == nil || e.done == nil || f.Path != e.file.Path || !bytes.Equal(f.Data, e.file.Data) {
			return false
		}
		e.Wait()
		return len(e.unchecked) == 0 // else it was not installed, and may be now
	}
	if !slices.ContainsFunc(files, checked) {
		_, err := h.Check(ctx, files)
		return err
	}
	var err error
	done := func(f render.File) bool { return f.Kind != render.KeepalivedConfig } // no program judges the others
	if rest := slices.DeleteFunc(slices.Clone(files), done); len(rest) > 0 {
		_, err = h.Check(ctx, rest)
	}
	switch refusal := (*host.Refusal)(nil); {
	case e.err == nil || err != nil && !errors.As(err, &refusal):
		return err
	case err == nil || !errors.As(e.err, &refusal):
		return e.err
	}
	return errors.Join(err, e.err)
}
