package main

import (
	"context"
	"fmt"
	"time"

	"rlb.dev/rlb-agent/cmd/rlb-agent/terminal"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/serveon"
	"rlb.dev/rlb-agent/reconcile/state"
)

const (
	waitLook   = 100 * time.Millisecond // interval between two reads of the wait's progress
	waitBegin  = 500 * time.Millisecond // time for the daemon to take the wait over: the new holder forwards by itself for 2 s
	waitSilent = 4 * time.Second        // a daemon that has written nothing for this long no longer runs the wait: systemd restarts it earlier
)

// awaitConnections waits until the connections of a drained host have ended. The daemon serves these connections. If no
// daemon runs, this command serves them until it is interrupted. The lock is not needed. began is when the command
// began.
func (a *app) awaitConnections(ctx context.Context, began time.Time) error {
	h, err := a.host()
	if err != nil {
		return err
	}
	defer h.Close()
	wait, err := state.ReadWait(ctx, h)
	if err != nil {
		return &reconcile.Failure{Err: err}
	}
	if wait == nil {
		now, err := state.ReadWaiting(ctx, h)
		if err != nil {
			return &reconcile.Failure{Err: err}
		}
		if now.Began.Before(began) {
			fmt.Fprintln(a.stdout, "nothing is left to wait for")
			return nil
		}
		wait = &now.Wait // this wait has ended already
	}
	return (&waitView{app: a, host: h}).await(ctx, wait, time.Now())
}

// waitView shows the progress of a wait.
type waitView struct {
	*app
	host   serveon.Host
	begun  bool   // the first line is printed
	redraw bool   // the terminal shows a line that the next one overwrites
	line   string // this line
}

// await shows the progress until the wait ends.
func (w *waitView) await(ctx context.Context, wait *state.Wait, began time.Time) error {
	keeping, done := false, make(chan struct{})
	unit, err := w.host.Unit(ctx, host.AgentUnit)
	alone := err == nil && unit.ActiveState == "inactive"
	var gone time.Time // since when the record of the wait is gone
	for {
		record, recordErr := state.ReadWait(ctx, w.host)
		switch {
		case recordErr != nil || record != nil && record.Began.Equal(wait.Began):
			gone = time.Time{}
		case gone.IsZero():
			gone = time.Now()
		}
		now, err := state.ReadWaiting(ctx, w.host)
		ours := now.Began.Equal(wait.Began)
		switch {
		case ctx.Err() != nil:
			w.interrupted(ctx, keeping, done)
			return nil
		case err != nil:
			return &reconcile.Failure{Err: err}
		case ours && now.Text != "":
			w.show(now.Text)
			w.newline()
			return nil
		case !gone.IsZero() && time.Since(gone) > waitBegin: // by a teardown, or the end could not be written
			w.newline()
			fmt.Fprintln(w.stdout, "the wait is over: its record is gone")
			return nil
		case ours && !now.Moved.IsZero():
			w.left(now)
		}
		silent := !ours && (alone || time.Since(began) > waitBegin) || ours && time.Since(now.Written) > waitSilent && time.Since(began) > waitSilent
		if silent && !keeping {
			keeping = true
			go func() { defer close(done); serveon.New(w.host, w.log, nil).Keep(ctx) }()
		}
		select {
		case <-ctx.Done():
		case <-time.After(waitLook):
		}
	}
}

// interrupted prints what happens to the connections after Ctrl-C.
func (w *waitView) interrupted(ctx context.Context, keeping bool, done <-chan struct{}) {
	w.newline()
	if keeping {
		<-done
	}
	unit, err := w.host.Unit(context.WithoutCancel(ctx), host.AgentUnit)
	if !keeping || err == nil && unit.Active() { // a daemon that was slow to begin
		fmt.Fprintln(w.stdout, "goes on in the background: rlb-agent status shows it")
		return
	}
	serveon.New(w.host, w.log, nil).Close(context.WithoutCancel(ctx), "interrupted")
	fmt.Fprintln(w.stdout, "interrupted: rlb-agent.service does not run here, so that the connections that were left are closed")
}

// left prints how many connections are left; without a terminal only once.
func (w *waitView) left(now state.Waiting) {
	if !w.begun {
		w.begun = true
		fmt.Fprintf(w.stdout, "serving %d connections until they end, for at most %v\n", now.First, time.Until(now.Until).Round(time.Second))
	}
	if _, height := terminal.Size(w.stdout); height > 0 {
		w.show(fmt.Sprintf("%d connections left, %v", now.Left, max(time.Until(now.Until), 0).Round(time.Second)))
		w.redraw = true
	}
}

// show overwrites the line on the terminal.
func (w *waitView) show(line string) {
	if w.redraw && line == w.line {
		return
	}
	if w.redraw {
		fmt.Fprint(terminal.Raw(w.stdout), terminal.EraseLine)
	}
	fmt.Fprint(w.stdout, line)
	w.line, w.redraw = line, true
}

// newline ends the line on the terminal.
func (w *waitView) newline() {
	if w.redraw {
		fmt.Fprintln(w.stdout)
		w.redraw = false
	}
}
