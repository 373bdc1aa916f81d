// Package beside shows the status of several hosts side by side.
package beside

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"rlb.dev/rlb-agent/cmd/rlb-agent/remote"
	"rlb.dev/rlb-agent/reconcile/status"
)

// A Host holds the status of another host, or the error of asking for it.
type Host struct {
	Host   string         `json:"host"`
	Error  string         `json:"error,omitempty"`
	Status *status.Status `json:"status,omitempty"`
}

// Ask asks all hosts concurrently.
func Ask(ctx context.Context, ssh remote.SSH, hosts []remote.Host) []Host {
	all := make([]Host, len(hosts))
	remote.Each(hosts, func(i int, h remote.Host) {
		all[i].Host = h.Name
		if s, err := remote.Status(ctx, ssh, h); err != nil {
			all[i].Error = err.Error()
		} else {
			all[i].Status = &s
		}
	})
	return all
}

// Print prints a column for each host, then the problems, and whether the specs differ.
func Print(w io.Writer, all []Host) error {
	now := time.Now()
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(label string, cell func(status.Status) string) {
		cells := []string{remote.Line(label)}
		for _, h := range all {
			text := "?"
			if h.Status != nil {
				text = remote.Line(cell(*h.Status))
			}
			cells = append(cells, text)
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	heads := []string{""}
	for _, h := range all {
		heads = append(heads, h.Host)
	}
	fmt.Fprintln(t, strings.Join(heads, "\t"))
	row("Role", func(s status.Status) string { return status.RoleText(s, now) })
	row("Ready", readyText)
	row("Virtual IPs", heldText)
	row("Services", servicesText)
	for i, name := range limping(all) {
		row("  "+name, func(s status.Status) string {
			if i == mostNamed {
				return "…"
			}
			return serversText(s, name)
		})
	}
	row("Generation", func(s status.Status) string { return fmt.Sprint(s.ObservedGeneration) })
	row("Spec", func(s status.Status) string { return fmt.Sprintf("sha256:%.12s", s.SpecDigest) })
	row("rlb-agent", func(s status.Status) string { return s.Versions.Agent })
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, notes(all))
	return err
}

// notes lists the problems of each host, and whether their specs differ.
func notes(all []Host) string {
	var b strings.Builder
	for _, h := range all {
		if h.Status == nil {
			b.WriteString(remote.Line(h.Error) + "\n")
			continue
		}
		trouble := h.Status.PairTrouble()
		if !h.Status.Is("Ready") {
			trouble = h.Status.Condition("Ready").Message
		}
		if trouble != "" {
			b.WriteString(h.Host + ": " + remote.Line(trouble) + "\n")
		}
	}
	seen := 0
	for _, h := range all {
		if h.Status != nil {
			seen++
		}
	}
	switch digests := Digests(all); {
	case len(digests) > 1:
		b.WriteString("the specs of these hosts differ: rlb-agent push brings one into force on all\n")
	case len(digests) == 1 && digests[0] != "" && seen > 1 && seen == len(all):
		b.WriteString("these hosts have the same spec\n")
	}
	return b.String()
}

// Digests returns the distinct specs of the hosts that answered.
func Digests(all []Host) []string {
	var found []string
	for _, h := range all {
		if h.Status != nil && !slices.Contains(found, h.Status.SpecDigest) {
			found = append(found, h.Status.SpecDigest)
		}
	}
	return found
}

func readyText(s status.Status) string {
	c := s.Condition("Ready")
	switch {
	case c.Status == "True" && s.Drained:
		return "yes, drained"
	case c.Status == "True":
		return "yes"
	case c.Status == "Unknown":
		return "unknown: " + c.Reason
	}
	return "no: " + c.Reason
}

func heldText(s status.Status) string {
	var held []string
	for _, v := range s.VirtualIPs {
		if v.Held {
			held = append(held, v.Address)
		}
	}
	switch {
	case len(held) == 0:
		return "none"
	case len(held) == 1 && len(s.VirtualIPs) == 1:
		return held[0]
	}
	return fmt.Sprintf("%d of %d", len(held), len(s.VirtualIPs))
}

func servicesText(s status.Status) string {
	up := 0
	for _, service := range s.Services {
		if service.ServersUp() > 0 && service.Listening {
			up++
		}
	}
	return fmt.Sprintf("%d of %d up", up, len(s.Services))
}

// mostNamed is the most services that Print names.
const mostNamed = 20

// limping returns the services that lack a server on some host. If there are more than mostNamed, "…" stands for the others.
func limping(all []Host) (names []string) {
	for _, h := range all {
		if h.Status == nil {
			continue
		}
		for _, service := range h.Status.Services {
			if service.ServersUp() == len(service.Servers) && service.Listening || slices.Contains(names, service.Name) {
				continue
			}
			if len(names) == mostNamed {
				return append(names, "…")
			}
			names = append(names, service.Name)
		}
	}
	return names
}

func serversText(s status.Status, name string) string {
	for _, service := range s.Services {
		if service.Name != name {
			continue
		}
		if !service.Listening {
			return "not listening"
		}
		return fmt.Sprintf("%d of %d servers up", service.ServersUp(), len(service.Servers))
	}
	return "none"
}
