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

// An EarlyCheck lets HAProxy check its new file, and takes the baseline, while the agent still looks at the host. Each of
// the three takes some hundredths of a second, and an edit waits for all of them. The zero value has checked nothing.
type EarlyCheck struct {
	file render.File
	done chan struct{} // nil if there was nothing to check

	// valid once done is closed
	unchecked []string // result of the check
	err       error
	base      baseline
}

// Start starts the check if the wanted haproxy.cfg differs from the installed one. It does not wait.
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

// Wait waits until the check has ended. e may be nil.
func (e *EarlyCheck) Wait() {
	if e != nil && e.done != nil {
		<-e.done
	}
}

// served is the baseline from the start of the check, or without a check a new one.
func (e *EarlyCheck) served(ctx context.Context, h host.Observer) baseline {
	if e == nil || e.done == nil {
		return takeBaseline(ctx, h)
	}
	e.Wait()
	return e.base
}

// check checks the files that Start did not check yet.
func (e *EarlyCheck) check(ctx context.Context, h host.Observer, files []render.File) error {
	checked := func(f render.File) bool {
		if e == nil || e.done == nil || f.Path != e.file.Path || !bytes.Equal(f.Data, e.file.Data) {
			return false
		}
		e.Wait()
		return len(e.unchecked) == 0 // else HAProxy was not installed then, and may be now
	}
	if !slices.ContainsFunc(files, checked) {
		_, err := h.Check(ctx, files)
		return err
	}
	var err error
	done := func(f render.File) bool { return f.Kind != render.KeepalivedConfig } // no program checks the other kinds of files
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
