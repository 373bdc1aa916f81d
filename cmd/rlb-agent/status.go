package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"rlb.dev/rlb-agent/cmd/rlb-agent/terminal"
	"rlb.dev/rlb-agent/reconcile/events"
	"rlb.dev/rlb-agent/reconcile/host/rootpath"
	"rlb.dev/rlb-agent/reconcile/status"
)

// statusCommand shows the state of this host. Exit code 1: it is not ready.
func (a *app) statusCommand() *cobra.Command {
	var (
		output string
		watch  bool
		on     onFlags
	)
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Show role, virtual IPs, services and servers, what differs from the spec, and the last events",
		Example: "  rlb-agent status --watch\n  rlb-agent status --on lb1,lb2",
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := knownFormat(cmd, "a status", output); err != nil {
				return err
			}
			if err := on.withoutSpec(cmd); err != nil {
				return err
			}
			switch {
			case on.given(cmd) && watch:
				return usageError{errors.New("cannot watch other hosts: use --on without --watch")}
			case on.given(cmd):
				return a.statusOn(cmd.Context(), on, output)
			case watch:
				return a.watchStatus(cmd.Context(), output)
			}
			s, err := a.status(cmd.Context(), status.Status{})
			if err != nil {
				return err
			}
			if err := writeStatus(a.stdout, s, output); err != nil {
				return err
			}
			if !s.Is("Ready") {
				return errDifferent
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text, wide (with the conditions), json or yaml")
	on.register(cmd)
	cmd.Flags().BoolVar(&watch, "watch", false, "show it again every second")
	return cmd
}

// watchStatus shows the status every second until it is interrupted.
func (a *app) watchStatus(ctx context.Context, output string) error {
	_, height := terminal.Size(a.stdout)
	text := output == "text" || output == "wide"
	live := text && height > 0
	if live {
		screen := terminal.Raw(a.stdout)
		fmt.Fprint(screen, terminal.EnterScreen)
		defer fmt.Fprint(screen, terminal.LeaveScreen)
	}
	var s status.Status
	for first := true; ; first = false {
		var err error
		s, err = a.status(ctx, s)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		switch {
		case live: // the terminal may have been resized
			var width int
			width, height = terminal.Size(a.stdout)
			fmt.Fprint(terminal.Raw(a.stdout), terminal.Frame(statusText(s, output == "wide", width, terminal.Colors(a.stdout), time.Now()), height))
		default:
			var b bytes.Buffer
			if !first {
				b.WriteString(map[string]string{"text": "\n", "wide": "\n", "yaml": "---\n"}[output])
			}
			if err := writeStatus(&b, s, output); err != nil {
				return err
			}
			if _, err := a.stdout.Write(b.Bytes()); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// status reads the state of this host. before is the previous status, or the zero value.
func (a *app) status(ctx context.Context, before status.Status) (status.Status, error) {
	h, err := a.host()
	if err != nil {
		return status.Status{}, err
	}
	defer h.Close()
	doc, specErr := a.readSpec(a.spec)
	if specErr == nil && a.spec != "-" {
		if err := (rootpath.Walker{}).Check(a.spec); err != nil { // applying would refuse this file
			doc, specErr = nil, untrusted(a.spec, err)
		}
	}
	var journal sync.WaitGroup
	journal.Go(func() { a.lately.read(ctx, h) })
	s, err := status.Read(ctx, h, doc, specErr, status.Known{Before: before, Quiet: func(since time.Time) bool {
		journal.Wait()
		return events.RoleUnchanged(a.lately.entries, since)
	}})
	journal.Wait()
	s.Versions.Agent, s.Partial = agentVersion(), os.Geteuid() != 0
	s.Events, s.EventsNotSeen = a.lately.events, a.lately.notSeen
	return s, err
}

func writeStatus(w io.Writer, s status.Status, format string) error {
	return encode(w, format, s, func() error {
		width, _ := terminal.Size(w)
		_, err := io.WriteString(w, statusText(s, format == "wide", width, terminal.Colors(w), time.Now()))
		return err
	})
}

// statusText formats a status for people: the verdict in a sentence, then the rows; wide adds the conditions.
func statusText(s status.Status, wide bool, width int, color bool, now time.Time) string {
	verdict, mood := status.Verdict(s, now)
	verdict = status.Paragraph(verdict, width)
	rows := status.Rows(s, now)
	if wide {
		rows = append(rows, status.ConditionRows(s, now)...)
	}
	if color {
		return status.Color(verdict, mood) + "\n" + status.Colored(rows, width)
	}
	return verdict + "\n" + status.Text(rows, width)
}

// encode writes a value as JSON or YAML. For other formats it calls text.
func encode(w io.Writer, format string, value any, text func() error) error {
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(value)
	case "yaml":
		data, err := yaml.Marshal(value)
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	}
	return text()
}
