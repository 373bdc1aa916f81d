// Package status reads the status of a host, derives its conditions, and words it for people.
package status

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// Row is one line of a status for people: a label, cells that are aligned in columns, and a text that may be long.
type Row struct {
	Label string
	Cells []string // at most two
	Text  string
	Mood  Mood
}

// Mood says whether a row reports something good or bad.
type Mood string

// The moods.
const (
	Plain Mood = "" // neither good nor bad
	Good  Mood = "good"
	Bad   Mood = "bad"
)

func moodOf(well bool) Mood {
	if well {
		return Good
	}
	return Bad
}

// Rows words a status for people, to be shown below its verdict: first the role, then the agent, the peers, the
// services, the spec, what is wrong, and what was done last.
func Rows(s Status, now time.Time) []Row {
	rows := []Row{{Label: "Role", Text: join(": ", RoleText(s, now), s.roleReason()),
		Mood: moodOf(s.Role == host.RoleMaster || s.Role == host.RoleBackup || s.Drained)}}
	if s.Drained && !s.drainedOut() {
		rows = append(rows, Row{Label: "Drained", Text: "yes" + s.drainedText(now) + ": this host stays out until rlb-agent undrain"})
	}
	if node := cmp.Or(s.Node, s.Host); node != "" {
		rows = append(rows, Row{Label: "Node", Text: node})
	}
	for _, v := range s.VirtualIPs {
		text := yes(v.Held, "held", "not held")
		if s.FromFile {
			text += " by this host (from the spec file, which need not be in force)"
		}
		rows = append(rows, Row{Label: "Virtual IP", Cells: []string{v.Address}, Text: text})
	}
	rows = append(rows, agentRows(s, now)...)
	for _, p := range s.Peers {
		rows = append(rows, peerRow(p, s.listens(), now))
	}
	rows = append(rows, headroomRows(s)...)
	if s.Draining != nil {
		rows = append(rows, Row{Label: "Draining", Text: s.Draining.text(now)})
	}
	rows = append(rows, haproxyRows(s)...)
	for _, service := range s.Services {
		rows = append(rows, serviceRows(service, s.HAProxy != nil && !service.NotSeen, now)...)
	}
	rows = append(rows, specRows(s)...)
	for _, text := range s.Pending {
		rows = append(rows, Row{Label: "Pending", Text: text, Mood: Bad})
	}
	for _, kind := range []string{"Serving", "InSync", "PeerInSync", "Redundant"} {
		if c := s.Condition(kind); c.Status == isFalse && s.FirstRun == "" && !(kind == "InSync" && (s.Trial != nil || s.Partial)) {
			rows = append(rows, Row{Label: "Problem", Text: host.Line(c.Message), Mood: Bad})
		}
	}
	if s.Claimed != "" {
		rows = append(rows, Row{Label: "Stranger", Text: host.Line(s.Claimed), Mood: Bad})
	}
	return append(rows, historyRows(s, now)...)
}

// ConditionRows shows the conditions. The other rows say the same in words.
func ConditionRows(s Status, now time.Time) (rows []Row) {
	for _, c := range s.Conditions {
		r := Row{Label: c.Type, Cells: []string{c.Status}, Text: join(": ", c.Reason, host.Line(c.Message)), Mood: moodOf(c.Status == "True")}
		if now.Sub(c.LastTransitionTime) >= time.Second { // else the condition is new, or the time of its transition is not known
			r.Cells[0] += lasting(c.LastTransitionTime, now)
		}
		if c.Status == isUnknown && !slices.Contains(readyTypes, c.Type) && c.Type != "Ready" {
			r.Mood = Plain // a host without a peer has no problem
		}
		if c.Type == "Ready" && len(s.Conditions) > 2 {
			r.Text = c.Reason // the other rows say why
		}
		rows = append(rows, r)
	}
	return rows
}

// RoleText is the role and how long it has lasted; "DRAINED" for a drained host outside the virtual router.
func RoleText(s Status, now time.Time) string {
	if s.drainedOut() {
		return "DRAINED" + s.drainedText(now)
	}
	if s.Partial && s.Role == host.RoleUnknown {
		return "not seen"
	}
	return string(s.Role) + lasting(s.RoleSince, now)
}

// roleReason is why the role is what it is. For a drained host it says how to end the drain.
func (s Status) roleReason() string {
	if s.drainedOut() {
		return "rlb-agent undrain ends that"
	}
	return s.RoleReason
}

// text shows the progress: "37 connections left, 8m12s".
func (d *Draining) text(now time.Time) string {
	return fmt.Sprintf("%d %s left, %s", d.Connections, yes(d.Connections == 1, "connection", "connections"), span(d.Deadline.Sub(now)))
}

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
	up := service.ServersUp()
	servers := fmt.Sprintf("%d of %d servers up", up, len(service.Servers))
	if !slices.ContainsFunc(service.Servers, func(s host.ServerState) bool { return s.State != host.ServerUnknown }) {
		servers = "its servers are not seen"
	}
	rows := []Row{{Label: "Service", Mood: moodOf(service.Listening && up > 0),
		Text: fmt.Sprintf("%s on port %d: %s, %s", service.Name, service.Port, yes(service.Listening, "listening", "not listening"), servers)}}
	if !seen {
		return []Row{{Label: "Service", Text: fmt.Sprintf("%s on port %d: not seen", service.Name, service.Port)}}
	}
	for _, server := range service.Servers {
		rows = append(rows, Row{Label: "  " + server.Name, Cells: []string{server.Address, server.State + lasting(server.Since, now)},
			Text: server.Reason, Mood: moodOf(server.Up())})
	}
	return rows
}

func yes(is bool, then, otherwise string) string {
	if is {
		return then
	}
	return otherwise
}

// join joins two parts and omits the separator if one of them is empty. Only the separators ", by " and "; " stay
// before second if first is empty.
func join(separator, first, second string) string {
	if second == "" {
		return first
	}
	if first == "" && !slices.Contains([]string{", by ", "; "}, separator) {
		return second
	}
	return first + separator + second
}

// lasting is " for 7s", or "" if the time is not known.
func lasting(since, now time.Time) string {
	if since.IsZero() {
		return ""
	}
	return " for " + span(now.Sub(since))
}

// past is "7s ago".
func past(at, now time.Time) string { return span(now.Sub(at)) + " ago" }

// span is a duration in its two largest units: 7s, 3m20s, 2h5m, 3d4h.
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
