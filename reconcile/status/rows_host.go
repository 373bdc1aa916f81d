package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// agentRows say whether the agent runs.
func agentRows(s Status, now time.Time) []Row {
	text, mood := "", Plain
	switch a := s.Agent; {
	case a == nil:
	case a.Running:
		text = "runs" + lasting(a.Since, now)
	case a.Enabled:
		text, mood = host.Line(s.Condition("AgentRunning").Message), Bad
	default:
		text = "does not run and is not enabled: changes come by rlb-agent --once"
	}
	if text = join(", ", s.Versions.Agent, text); text == "" {
		return nil
	}
	return []Row{{Label: "Agent", Text: text, Mood: mood}}
}

// specRows say which spec is in force, and what is done about the spec of the file.
func specRows(s Status) (rows []Row) {
	in := "none is in force"
	if s.ObservedGeneration > 0 {
		in = fmt.Sprintf("generation %d is in force", s.ObservedGeneration)
	}
	apply := "rlb-agent --once"
	if s.Agent != nil && s.Agent.Running {
		apply = "systemctl reload rlb-agent"
	}
	row := Row{Label: "Spec", Text: in}
	switch p := s.PendingSpec; {
	case s.FromFile && s.Condition("SpecValid").Status == isFalse:
		row.Mood, row.Text = Bad, "the spec file is REFUSED: "+host.Line(s.Condition("SpecValid").Message)+"; which spec is in force is not seen"
	case s.FromFile:
		row.Text = "which one is in force is not seen"
	case p == nil:
	case p.Refused:
		row.Mood = Bad
		row.Text = fmt.Sprintf("generation %d REFUSED: %s; %s", p.Generation, host.Line(p.Message), yes(s.ObservedGeneration > 0, fmt.Sprintf("still serving generation %d", s.ObservedGeneration), in))
		if p.Reason != "Refused" { // after a refusal of the file itself, an edit is the retry
			row.Text += "; retry: " + apply
		}
	case s.FirstRun != "":
		row.Text = fmt.Sprintf("generation %d is being applied for the first time: %s", p.Generation, s.FirstRun)
	case s.Trial == nil:
		row.Mood, row.Text = Bad, fmt.Sprintf("generation %d is not applied yet; %s; to apply it: %s", p.Generation, in, apply)
	}
	rows = append(rows, row)
	if t := s.Trial; t != nil {
		rows = append(rows, Row{Label: "Trial", Text: fmt.Sprintf("%v; rlb-agent confirm keeps it", state.Trial{File: t.File, By: t.By, Since: t.Since, Deadline: t.Deadline})})
	}
	return rows
}

// historyRows show pending updates, the last changes of this host, the versions of its programs and what could not be
// seen.
func historyRows(s Status, now time.Time) []Row {
	var rows []Row
	if s.Updates != nil {
		for _, u := range s.Updates.HeldBack {
			rows = append(rows, Row{Label: "Update", Mood: moodOf(!u.Security),
				Text: fmt.Sprintf("%s %s is available%s, %s is installed and held: rlb-agent upgrade", u.Package, u.Candidate, yes(u.Security, ", a security update", ""), u.Version)})
		}
	}
	if d := s.Drift; d.Found > 0 {
		text := fmt.Sprintf("found %d, repaired %d", d.Found, d.Repaired)
		if last := d.Last; last != nil {
			text += join(": ", "; last "+past(last.Time, now), strings.Join(last.Steps, ", ")) + join(", by ", "", last.By) + join("; ", "", host.Line(last.Error))
		}
		rows = append(rows, Row{Label: "Drift", Text: text})
	}
	if r := s.LastReconcile; r != nil && s.Condition("Ready").Reason != NoSpec { // else there was no run yet
		text := fmt.Sprintf("%s %s, in %s", r.Result, past(r.Time, now), r.Duration)
		if len(r.Steps) > 0 {
			text += fmt.Sprintf(", %d %s", len(r.Steps), yes(len(r.Steps) == 1, "step", "steps"))
		}
		why := host.Line(r.Error)
		if s.PendingSpec != nil && s.PendingSpec.Refused && r.Result == Refused { // the row Spec shows it
			why = ""
		}
		rows = append(rows, Row{Label: "Last reconcile", Text: join(": ", text, why), Mood: moodOf(r.Error == "")})
	}
	var versions []string
	for _, v := range []struct{ name, version string }{{"haproxy", s.Versions.HAProxy}, {"keepalived", s.Versions.Keepalived}} {
		if v.version != "" {
			versions = append(versions, v.name+" "+v.version)
		}
	}
	if len(versions) > 0 {
		rows = append(rows, Row{Label: "Versions", Text: strings.Join(versions, ", ")})
	}
	rows = append(rows, eventRows(s, now)...)
	if s.Partial {
		return append(rows, Row{Label: "Not seen", Text: join(": ", "run as root (sudo rlb-agent status) to see", notSeen(s))})
	}
	for _, text := range s.NotSeen {
		rows = append(rows, Row{Label: "Not seen", Text: host.Line(text)})
	}
	return rows
}

// eventRows are the last events, the newest last.
func eventRows(s Status, now time.Time) (rows []Row) {
	for _, e := range s.Events {
		text := host.Line(e.Message)
		if e.Cause != "" {
			text += " (" + host.Line(e.Cause) + ")"
		}
		rows = append(rows, Row{Label: "Event", Cells: []string{clock(e.Time, now)}, Text: text})
	}
	if s.EventsNotSeen != "" && !s.Partial {
		rows = append(rows, Row{Label: "Event", Text: "not seen: " + host.Line(s.EventsNotSeen)})
	}
	return rows
}

// notSeen lists what could not be looked at, without the reasons.
func notSeen(s Status) string {
	var all []string
	for _, text := range s.NotSeen {
		what, _, _ := strings.Cut(text, ":")
		if !slices.Contains(all, what) {
			all = append(all, what)
		}
	}
	return strings.Join(all, ", ")
}
