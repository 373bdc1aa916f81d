package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"rlb.dev/rlb-agent/reconcile"
)

// statusCommand tells how this host is. Exit code 1 means that it is not ready.
func (a *app) statusCommand() *cobra.Command {
	var (
		output string
		watch  bool
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show role, virtual IPs, services and servers, and what differs from the spec",
		Args:  atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			print, known := map[string]func(io.Writer, reconcile.Status) error{
				"text": statusText, "json": statusJSON, "yaml": statusYAML,
			}[output]
			if !known {
				return usageError{fmt.Errorf("cannot print a status as %q: it is text, json or yaml", output)}
			}
			for {
				status, err := a.status(cmd.Context())
				if err != nil {
					return err
				}
				if watch && output == "text" {
					fmt.Fprint(a.stdout, "\x1b[H\x1b[2J") // the top of an empty screen
				}
				if err := print(a.stdout, status); err != nil {
					return err
				}
				if !watch {
					if !status.Is("Ready") {
						return errDifferent
					}
					return nil
				}
				select {
				case <-cmd.Context().Done():
					return nil
				case <-time.After(time.Second):
				}
			}
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text, json or yaml")
	cmd.Flags().BoolVar(&watch, "watch", false, "show it again every second")
	return cmd
}

func (a *app) status(ctx context.Context) (reconcile.Status, error) {
	h, err := a.host()
	if err != nil {
		return reconcile.Status{}, err
	}
	defer h.Close()
	doc, specErr := a.readSpec(a.spec)
	status, err := reconcile.ReadStatus(ctx, h, doc, specErr, nil)
	status.Versions.Agent = agentVersion()
	return status, err
}

func statusJSON(w io.Writer, s reconcile.Status) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(s)
}

func statusYAML(w io.Writer, s reconcile.Status) error {
	data, err := yaml.Marshal(s)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// statusText is for people: the role first, then what they would ask next.
func statusText(w io.Writer, s reconcile.Status) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	name := strings.Join(strings.Fields(s.Metadata.Name+" "+s.Node), " on ")
	if name != "" {
		fmt.Fprintf(t, "Name\t%s\n", name)
	}
	fmt.Fprintf(t, "Role\t%s%s\n", s.Role, since(s.RoleSince))
	for _, v := range s.VirtualIPs {
		fmt.Fprintf(t, "Virtual IP\t%s\t%s\n", v.Address, map[bool]string{true: "held", false: "not held"}[v.Held])
	}
	for _, service := range s.Services {
		fmt.Fprintf(t, "Service\t%s\tport %d, %s\n", service.Name, service.Port, map[bool]string{true: "listening", false: "not listening"}[service.Listening])
		for _, server := range service.Servers {
			fmt.Fprintf(t, "  %s\t%s\t%s%s\t%s\n", server.Name, server.Address, server.State, since(server.Since), server.Reason)
		}
	}
	for _, c := range s.Conditions {
		fmt.Fprintf(t, "%s\t%s\t%s%s\n", c.Type, c.Status, c.Reason, strings.TrimSuffix(": "+strings.ReplaceAll(c.Message, "\n", "; "), ": "))
	}
	if r := s.LastReconcile; r != nil {
		fmt.Fprintf(t, "Last reconcile\t%s%s\t%d steps in %s\n", r.Result, since(r.Time), len(r.Steps), r.Duration)
	}
	fmt.Fprintf(t, "Spec\tgeneration %d\n", s.Generation)
	fmt.Fprintf(t, "Versions\thaproxy %s, keepalived %s, rlb-agent %s\n", s.Versions.HAProxy, s.Versions.Keepalived, s.Versions.Agent)
	return errors.Join(t.Flush())
}

func since(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprintf(" for %v", time.Since(t).Truncate(time.Second))
}
