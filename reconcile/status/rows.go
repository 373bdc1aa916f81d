// Package status says how a host is: what it is read from, its conditions, and its words for people.
package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// Row is one line of a status for people: a label, cells that stand below each other, and a text that may be long.
type Row struct {
	Label string
	Cells []string // at most MaxCells
	Text  string
	Mood  Mood
}

// MaxCells is the largest number of cells that a row has.
const MaxCells = 2

// Mood says whether what a row tells is as it should be.
type Mood string

// The moods.
const (
	Plain Mood = "" // neither
	Good  Mood = "good"
	Bad   Mood = "bad"
)

func moodOf(well bool) Mood {
	if well {
		return Good
	}
	return Bad
}

// Rows are a status for people: the role first, then what they would ask next.
func Rows(s Status, now time.Time) []Row {
	rows := []Row{{Label: "Role", Text: join(": ", RoleText(s, now), s.RoleReason),
		Mood: moodOf(s.Role == host.RoleMaster || s.Role == host.RoleBackup || s.Drained)}}
	if s.Drained && !strings.Contains(s.RoleReason, "drained") {
		rows = append(rows, Row{Label: "Drained", Text: "yes: this host stays out until rlb-agent undrain"})
	}
	if node := join(" of ", s.Node, s.Metadata.Name); node != "" {
		rows = append(rows, Row{Label: "Node", Text: node})
	}
	for _, v := range s.VirtualIPs {
		rows = append(rows, Row{Label: "Virtual IP", Cells: []string{v.Address}, Text: yes(v.Held, "held", "not held")})
	}
	for _, p := range s.Peers {
		rows = append(rows, peerRow(p, now))
	}
	rows = append(rows, haproxyRows(s)...)
	for _, service := range s.Services {
		rows = append(rows, serviceRows(service, s.HAProxy != nil, now)...)
	}
	for _, c := range s.Conditions {
		r := Row{Label: c.Type, Cells: []string{c.Status}, Text: join(": ", c.Reason, oneLine(c.Message)), Mood: moodOf(c.Status == "True")}
		if now.Sub(c.LastTransitionTime) >= time.Second { // else it is new, or nobody remembers
			r.Cells[0] += lasting(c.LastTransitionTime, now)
		}
		if c.Status == isUnknown && !slices.Contains(readyTypes, c.Type) && c.Type != "Ready" {
			r.Mood = Plain // without a peer nothing is wrong
		}
		if c.Type == "Ready" && len(s.Conditions) > 2 {
			r.Text = c.Reason // the others say why
		}
		rows = append(rows, r)
	}
	for _, text := range s.Pending {
		rows = append(rows, Row{Label: "Pending", Text: text, Mood: Bad})
	}
	return append(rows, historyRows(s, now)...)
}

// RoleText is the role and how long it has lasted.
func RoleText(s Status, now time.Time) string { return string(s.Role) + lasting(s.RoleSince, now) }

func haproxyRows(s Status) []Row {
	h := s.HAProxy
	if h == nil {
		return nil
	}
	text := string(h.State)
	if h.OldWorkers > 0 {
		text += fmt.Sprintf(", %d old %s connections", h.OldWorkers, yes(h.OldWorkers == 1, "process finishes its", "processes finish their"))
	}
	return []Row{{Label: "HAProxy", Text: text, Mood: moodOf(h.State == host.HAProxyAnswers)}}
}

func serviceRows(service Service, seen bool, now time.Time) []Row {
	up := 0
	for _, server := range service.Servers {
		if server.Up() {
			up++
		}
	}
	rows := []Row{{Label: "Service", Mood: moodOf(service.Listening && up > 0),
		Text: fmt.Sprintf("%s on port %d: %s, %d of %d servers up", service.Name, service.Port, yes(service.Listening, "listening", "not listening"), up, len(service.Servers))}}
	if !seen {
		rows[0] = Row{Label: "Service", Text: fmt.Sprintf("%s on port %d: not seen", service.Name, service.Port)}
	}
	for _, server := range service.Servers {
		rows = append(rows, Row{Label: "  " + server.Name, Cells: []string{server.Address, server.State + lasting(server.Since, now)},
			Text: server.Reason, Mood: moodOf(server.Up())})
	}
	return rows
}

// historyRows is what was done on this host, and what with.
func historyRows(s Status, now time.Time) []Row {
	var rows []Row
	if d := s.Drift; d.Found > 0 {
		text := fmt.Sprintf("found %d, repaired %d", d.Found, d.Repaired)
		if last := d.Last; last != nil {
			text += join(": ", "; last "+past(last.Time, now), strings.Join(last.Steps, ", ")) + join(", by ", "", last.By) + join("; ", "", oneLine(last.Error))
		}
		rows = append(rows, Row{Label: "Drift", Text: text})
	}
	if r := s.LastReconcile; r != nil {
		text := fmt.Sprintf("%s %s, in %s", r.Result, past(r.Time, now), r.Duration)
		if len(r.Steps) > 0 {
			text += fmt.Sprintf(", %d %s", len(r.Steps), yes(len(r.Steps) == 1, "step", "steps"))
		}
		rows = append(rows, Row{Label: "Last reconcile", Text: join(": ", text, oneLine(r.Error)), Mood: moodOf(r.Error == "")})
	}
	spec := fmt.Sprintf("generation %d", s.Generation)
	if s.Generation != s.ObservedGeneration {
		spec += fmt.Sprintf("; in force is %s", yes(s.ObservedGeneration == 0, "none", fmt.Sprintf("generation %d", s.ObservedGeneration)))
	}
	rows = append(rows, Row{Label: "Spec", Text: spec})
	if s.Updates != nil {
		for _, u := range s.Updates.HeldBack {
			rows = append(rows, Row{Label: "Held back", Mood: moodOf(!u.Security),
				Text: fmt.Sprintf("%s %s from %s%s", u.Package, u.Version, u.Candidate, yes(u.Security, ", a security update", ""))})
		}
	}
	var versions []string
	for _, v := range []struct{ name, version string }{{"haproxy", s.Versions.HAProxy}, {"keepalived", s.Versions.Keepalived}, {"rlb-agent", s.Versions.Agent}} {
		if v.version != "" {
			versions = append(versions, v.name+" "+v.version)
		}
	}
	rows = append(rows, Row{Label: "Versions", Text: strings.Join(versions, ", ")})
	for _, text := range s.NotSeen {
		rows = append(rows, Row{Label: "Not seen", Text: oneLine(text)})
	}
	return rows
}

func yes(is bool, then, otherwise string) string {
	if is {
		return then
	}
	return otherwise
}

// join is strings.Join without the empty parts, but for a leading one, which leaves its separator.
func join(separator, first, second string) string {
	if second == "" {
		return first
	}
	if first == "" && !slices.Contains([]string{", by ", "; "}, separator) {
		return second
	}
	return first + separator + second
}

func oneLine(text string) string { return strings.ReplaceAll(text, "\n", "; ") }

// lasting is " for 7s", or nothing where nobody knows.
func lasting(since, now time.Time) string {
	if since.IsZero() {
		return ""
	}
	return " for " + span(now.Sub(since))
}

// past is "7s ago".
func past(at, now time.Time) string { return span(now.Sub(at)) + " ago" }

// span is a duration as people say it, in its two largest units: 7s, 3m20s, 2h5m, 3d4h.
func span(d time.Duration) string {
	d = max(d.Truncate(time.Second), 0)
	units := []struct {
		name string
		size time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}
	for i, unit := range units {
		if d < unit.size {
			continue
		}
		text := fmt.Sprint(int(d/unit.size), unit.name)
		if i+1 < len(units) {
			if rest := d % unit.size / units[i+1].size; rest > 0 {
				text += fmt.Sprint(int(rest), units[i+1].name)
			}
		}
		return text
	}
	return "0s"
}
