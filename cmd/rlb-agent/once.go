package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/cmd/rlb-agent/daemon"
	"rlb.dev/rlb-agent/cmd/rlb-agent/logger"
	"rlb.dev/rlb-agent/cmd/rlb-agent/terminal"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
	"rlb.dev/rlb-agent/render"
)

// once reconciles the host with the spec, once.
func (a *app) once(ctx context.Context) error {
	return a.changing(ctx, func(ctx context.Context, h *debian.Host) error {
		doc, err := a.trustedSpec()
		if err != nil {
			return err
		}
		if err := noTrial(ctx, h); err != nil {
			return err
		}
		a.suggestImport(ctx, h)
		result, err := a.apply(ctx, h, doc)
		if err != nil {
			return err
		}
		a.done(a.spec, result)
		return nil
	})
}

// dryRun prints what --once would do.
func (a *app) dryRun(ctx context.Context) error {
	doc, h, err := a.specAndHost(a.spec)
	if err != nil {
		return err
	}
	defer h.Close()
	a.suggestImport(ctx, h)
	return a.preview(ctx, h, doc)
}

// preview prints the steps that bring a spec into force, after the checks that precede them.
func (a *app) preview(ctx context.Context, h *debian.Host, doc *api.Document) error {
	look, err := a.find(ctx, h, doc)
	if err != nil {
		return err
	}
	if h.Ready(ctx) != nil {
		a.log.Warn("not looked at: the programs in vrrp.notify, ports that are taken, and who has the virtual IPs, since this machine is not one of the spec's hosts")
	} else if err := reconcile.Obstacles(ctx, h, doc, look, a.takeOver); err != nil {
		return err
	}
	if _, err := a.check(ctx, h, doc, look); err != nil {
		return err
	}
	a.unchecked(look)
	for _, s := range look.Plan.Tidy {
		fmt.Fprintf(a.stdout, "to tidy up: %v\n", s)
	}
	return a.printSteps(look.Plan.Steps(), a.place(ctx, h, &doc.Spec, look.Desired.Facts.Node), "in sync with "+specName(doc.File))
}

// place describes this host's place in its pair. spec is nil if no spec is in force.
func (a *app) place(ctx context.Context, h *debian.Host, spec *api.LoadBalancerSpec, node string) plan.Place {
	role, _ := status.KeepalivedRole(ctx, h) // STOPPED if keepalived does not run
	if wait, err := state.ReadWaiting(ctx, h); err == nil && wait.On() {
		role = host.RoleUnknown // a drained host serves its remaining connections
	}
	if spec == nil {
		return plan.Place{Role: role}
	}
	at := plan.PlaceOf(spec, node, role)
	if role == host.RoleMaster {
		table, _ := state.ReadPeers(ctx, h) // an unreadable table has no peers
		switch v := table.Redundant(time.Now()); v.Status {
		case "False":
			at.Alone = v.Message
		case "Unknown":
			at.Doubt = v.Message
		}
	}
	return at
}

// printSteps prints what a run would do: a summary, then each step with its diff. If there is nothing to do it prints
// idle.
func (a *app) printSteps(steps []plan.Step, at plan.Place, idle string) error {
	if len(steps) == 0 {
		fmt.Fprintf(a.stdout, "nothing to do: %s\n", idle)
		return nil
	}
	fmt.Fprintln(a.stdout, plan.Summary(steps, at))
	beside := plan.Beside(steps, at)
	for i, s := range steps {
		line := s.String()
		if beside[i] != "" {
			line += " (" + beside[i] + ")"
		}
		fmt.Fprintln(a.stdout, line)
		for line := range strings.Lines(s.Diff()) {
			fmt.Fprint(a.stdout, "    "+line)
		}
	}
	fmt.Fprintf(a.stdout, "%d %s; nothing was changed\n", len(steps), map[bool]string{true: "step", false: "steps"}[len(steps) == 1])
	return errDifferent
}

// rendering reads a spec and renders it for this machine. It runs no programs.
func (a *app) rendering(ctx context.Context, path string, given render.Facts) (*api.Document, *debian.Host, plan.Look, error) {
	doc, h, err := a.specAndHost(path)
	if err != nil {
		return nil, nil, plan.Look{}, err
	}
	look, err := plan.FactFinder{Observer: h, Given: given, Assume: h.Ready(ctx) != nil, AskNoPrograms: true}.Rendering(ctx, &doc.Spec)
	if err := a.found(doc, look, err, given.Node != "" || given.Interface != ""); err != nil {
		h.Close()
		return nil, nil, plan.Look{}, err
	}
	return doc, h, look, nil
}

func (a *app) specAndHost(path string) (*api.Document, *debian.Host, error) {
	doc, err := a.readSpec(path)
	if err != nil {
		return nil, nil, err
	}
	a.warnUntrusted(path)
	h, err := a.host()
	return doc, h, err
}

// find compares this machine with a spec, whether or not this machine is one of its hosts.
func (a *app) find(ctx context.Context, h *debian.Host, doc *api.Document) (plan.Look, error) {
	look, err := plan.FactFinder{Observer: h, Assume: h.Ready(ctx) != nil}.Look(ctx, &doc.Spec)
	if err := a.found(doc, look, err, false); err != nil {
		return plan.Look{}, err
	}
	return look, nil
}

// found logs what was assumed. A field that does not fit this host is a problem of the spec, as in a run, unless a flag
// describes another host.
func (a *app) found(doc *api.Document, look plan.Look, err error, flagged bool) error {
	for _, note := range look.Notes {
		a.log.Warn(note)
	}
	if field := (*plan.FieldError)(nil); errors.As(err, &field) && !flagged {
		return plan.Placed(err, doc)
	}
	if err != nil {
		return usageError{err}
	}
	return nil
}

// unchecked logs what could not be observed.
func (a *app) unchecked(look plan.Look) {
	for _, note := range look.Observed.Unchecked {
		a.log.Warn("not looked at: " + note)
	}
}

// daemon runs the agent without a subcommand: it keeps this host in sync until SIGTERM.
func (a *app) daemon(ctx context.Context) error {
	if a.spec == "-" {
		return usageError{errors.New("cannot watch standard input: give a file with --spec")}
	}
	spec, err := filepath.Abs(a.spec)
	if err != nil {
		return fmt.Errorf("cannot watch the spec: %w", err)
	}
	a.spec, a.log = spec, logger.Until(ctx, a.log)
	if terminal.Is(a.stderr) {
		a.log.Info("this is the daemon, in the foreground: Ctrl-C ends it, and rlb-agent help lists the other commands")
	}
	watchdog := daemon.NewWatchdog()
	h, err := a.hostWith(watchdog.Progress)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := h.Ready(ctx); err != nil {
		return err
	}
	daemon.Run(ctx, daemon.Config{
		Host: h, Watchdog: watchdog, Spec: spec, ReadSpec: a.trustedSpec, LockTimeout: a.lockTimeout,
		Rejoin: rejoinArgs(), Log: a.log, Version: agentVersion(),
	})
	return nil
}
