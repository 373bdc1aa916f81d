package page

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	g "maragu.dev/gomponents"

	"rlb.dev/rlb-agent/reconcile/events"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/status"
)

func header(s status.Status, name string) g.Node {
	sub := "load balancer"
	if s.Metadata.Name != "" {
		sub += " of " + short(s.Metadata.Name, maxName)
	}
	return el("header", "top", tag("h1", plain(name)), el("p", "sub", plain(sub)),
		// The script shows here whether the page is kept up to date.
		el("p", "live", attr("id", "live"), attr("role", "status"), attr("hidden")))
}

// main is the page below the header. Each part has an id; the script replaces the parts that have changed.
func main(v View, level Level, now time.Time) g.Node {
	return tag("main",
		verdict(v.Status, level, now),
		picture(v.Status),
		waiting(v),
		services(v.Status),
		timeline(v),
		thisHost(v.Status),
	)
}

func footer(s status.Status) g.Node {
	return tag("footer",
		el("span", "", plain("rlb-agent "+short(s.Versions.Agent, maxName))),
		tag("nav", attr("aria-label", "for programs"),
			tag("a", attr("href", "/status.json"), plain("status.json")), plain(" "),
			tag("a", attr("href", "/metrics"), plain("metrics"))))
}

// part is a section with a heading.
func part(id, heading string, children ...g.Node) g.Node {
	return el("section", "card", append([]g.Node{attr("id", id), attr("aria-labelledby", id+"-h"),
		tag("h2", attr("id", id+"-h"), plain(heading))}, children...)...)
}

// sign shows a level as a shape, for users who cannot tell the colors apart.
func sign(l Level) g.Node {
	shape := map[Level]g.Node{
		Well:      g.Group{mark("circle", "cx", "12", "cy", "12", "r", "11"), mark("path", "class", "glyph", "d", "M6.500 12.500l4 4 7-9")},
		Attention: g.Group{mark("path", "d", "M12 1.500L23.500 22.500H.5z"), mark("path", "class", "glyph", "d", "M12 8.500v7m0 2v2.500")},
		Broken:    g.Group{mark("path", "d", "M7.500 1h9L23 7.500v9L16.500 23h-9L1 16.500v-9z"), mark("path", "class", "glyph", "d", "M7.500 7.500l9 9m0-9l-9 9")},
	}[l]
	return el("svg", "sign", attr("viewBox", "0 0 24 24"), attr("aria-hidden", "true"), shape)
}

// mark is an element of a picture, with its attributes.
func mark(name string, attributes ...string) g.Node {
	var all []g.Node
	for i := 0; i+1 < len(attributes); i += 2 {
		all = append(all, attr(attributes[i], attributes[i+1]))
	}
	return tag(name, all...)
}

// verdict is the banner. A screen reader announces it when it changes.
func verdict(s status.Status, level Level, now time.Time) g.Node {
	text, _ := status.Verdict(s, now)
	var more []g.Node
	for _, problem := range problems(s) {
		if !strings.Contains(text, problem) {
			more = append(more, tag("li", say(problem)))
		}
	}
	return el("section", "banner "+string(level), attr("id", "verdict"), attr("aria-label", "verdict"),
		sign(level),
		tag("div", attr("id", "verdict-text"), attr("role", "status"), attr("aria-live", "polite"), attr("aria-atomic", "true"),
			el("p", "word", plain(words[level].word)),
			el("p", "sentence", say(text)),
			g.If(len(more) > 0, tag("ul", more...))))
}

// problems lists what is wrong.
func problems(s status.Status) (all []string) {
	for _, kind := range []string{"Serving", "InSync", "PeerInSync", "Redundant", "AgentRunning"} {
		if c := s.Condition(kind); c.Status == "False" && c.Message != "" && !(kind == "InSync" && (s.Trial != nil || s.PendingSpec != nil)) {
			all = append(all, host.Line(c.Message))
		}
	}
	if s.Claimed != "" {
		all = append(all, s.Claimed)
	}
	return slices.Compact(append(all, s.Pending...))
}

// waiting shows the specs that are not in force for good, with the changes that they make.
func waiting(v View) g.Node {
	s := v.Status
	var all []g.Node
	if t := s.Trial; t != nil {
		all = append(all, tag("p", tag("strong", plain("A spec is only tried")), plain(": "), say(t.File), g.If(t.By != "", say(" by "+t.By)),
			plain(". It goes back at "+clock(t.Deadline)+" unless "), tag("code", plain("rlb-agent confirm")), plain(" keeps it.")))
	}
	if p := s.PendingSpec; p != nil && s.Trial == nil {
		if p.Refused {
			all = append(all, tag("p", tag("strong", plain(fmt.Sprintf("Generation %d is refused.", p.Generation))),
				g.If(s.ObservedGeneration > 0, plain(fmt.Sprintf(" Generation %d stays in force.", s.ObservedGeneration)))),
				el("pre", "why", attr("tabindex", "0"), attr("aria-label", "why it is refused"), plain(strings.Join(lines(p.Message), "\n"))))
		} else {
			all = append(all, tag("p", tag("strong", plain(fmt.Sprintf("Generation %d is not applied yet.", p.Generation))), plain(" "), say(s.Condition("InSync").Message)))
		}
	}
	for _, c := range v.Changes {
		all = append(all, el("p", "sub", say(c.Title)))
		if c.Note != "" {
			all = append(all, tag("p", say(c.Note)))
		}
		if c.Diff != "" {
			all = append(all, diff(c.Diff))
		}
	}
	if len(all) == 0 {
		return el("section", "none", attr("id", "waiting"), attr("hidden"))
	}
	return part("waiting", "Waiting changes", all...)
}

// diff shows a unified diff. The signs at the start of its lines carry the same information as the colors.
func diff(text string) g.Node {
	all := []g.Node{attr("tabindex", "0"), attr("aria-label", "difference")}
	for _, line := range lines(text) {
		name := "span"
		switch {
		case strings.HasPrefix(line, "+++"), strings.HasPrefix(line, "---"):
		case strings.HasPrefix(line, "+"):
			name = "ins"
		case strings.HasPrefix(line, "-"):
			name = "del"
		}
		all = append(all, tag(name, plain(line)))
	}
	return el("pre", "diff", all...)
}

func services(s status.Status) g.Node {
	var all []g.Node
	for i, service := range s.Services {
		if i == maxServices {
			all = append(all, more(len(s.Services)-i, "service", "services"))
			break
		}
		all = append(all, oneService(service, i))
	}
	if len(all) == 0 {
		all = append(all, el("p", "sub", plain("not seen")))
	}
	return part("services", "Services", all...)
}

func more(n int, one, many string) g.Node {
	return el("p", "sub", plain("and "+plural(n, one, many)+" more: rlb-agent status shows all"))
}

func oneService(service status.Service, at int) g.Node {
	up := service.ServersUp()
	listens, word, level := Well, "listening", Well
	switch {
	case service.NotSeen:
		listens, word = Attention, "not seen"
	case !service.Listening:
		listens, word = Broken, "not listening"
	}
	switch {
	case up == 0:
		level = Broken
	case up < len(service.Servers):
		level = Attention
	}
	id := "service-" + strconv.Itoa(at)
	shown, hidden := service.Servers, 0
	if len(shown) > maxServers { // servers that are not up are kept
		shown = slices.Clone(shown)
		sort.SliceStable(shown, func(i, j int) bool { return order(shown[i]) < order(shown[j]) }) // the function of slices would add 10 kB of code
		shown, hidden = shown[:maxServers], len(shown)-maxServers
	}
	var servers []g.Node
	for _, server := range shown {
		servers = append(servers, oneServer(server))
	}
	return tag("article", attr("aria-labelledby", id),
		el("div", "service", el("h3", "", attr("id", id), plain(short(service.Name, maxName))),
			el("span", "pill", plain(fmt.Sprintf("port %d", service.Port))), badge(listens, word),
			badge(level, fmt.Sprintf("%d of %d servers up", up, len(service.Servers)))),
		g.If(len(servers) > 0, el("ul", "servers", servers...)),
		g.If(hidden > 0, more(hidden, "server", "servers")))
}

func order(s host.ServerState) int {
	if s.Up() {
		return 1
	}
	return 0
}

func oneServer(server host.ServerState) g.Node {
	level := Broken
	switch {
	case server.Up() && !server.Drained():
		level = Well
	case !strings.HasPrefix(server.State, "DOWN"):
		level = Attention
	}
	return tag("li",
		el("strong", "name", plain(short(server.Name, maxName))),
		el("span", "address", plain(short(server.Address, maxName*2))),
		el("span", "state", badge(level, short(server.State, maxName)), plain(" "), age(server.Since)),
		el("span", "reason", say(server.Reason)))
}

// badge is a word with the shape and the color of a level.
func badge(l Level, word string) g.Node {
	return el("span", "badge "+string(l), sign(l), plain(word))
}

// timeline shows the events, newest first, with the time between events, and how long the state lasted that an event
// ended.
func timeline(v View) g.Node {
	gaps := events.Gaps(v.Events)
	first := max(len(v.Events)-maxEvents, 0)
	var items []g.Node
	for i := len(v.Events) - 1; i >= first; i-- {
		e := v.Events[i]
		level := levelOf(e)
		items = append(items, el("li", "event "+level,
			el("time", "at", attr("datetime", e.Time.UTC().Format(time.RFC3339Nano)), el("span", "day", plain(e.Time.Local().Format("2 Jan "))), plain(e.Time.Local().Format("15:04:05.000"))),
			el("span", "kind", plain(string(e.Kind))),
			el("p", "what", say(e.Message),
				g.If(gaps[i].Long > 0, g.Group{plain(" "), el("span", "gap", plain(short(gaps[i].What, maxName)+" for "+span(gaps[i].Long)))})),
			g.If(e.Cause != "", el("p", "cause", plain("because: "), say(e.Cause)))))
		if i > first {
			items = append(items, el("li", "between", plain(span(e.Time.Sub(v.Events[i-1].Time))), el("span", "away", plain(" after the one below"))))
		}
	}
	switch {
	case len(items) > 0:
		return part("events", "What happened", el("ol", "events", items...))
	case v.NoStory != "":
		return part("events", "What happened", el("p", "sub", say(v.NoStory)))
	}
	return part("events", "What happened", el("p", "sub", plain("nothing in the last day")))
}

// levelOf returns the color of an event; "plain" for none.
func levelOf(e events.Event) string {
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(e.Message, part) })
	}
	switch {
	case e.Kind == events.Refusal, has("(FAULT)", "entering FAULT", " down", " died", "could not be started", "the reload failed"):
		return string(Broken)
	case e.Kind == events.Notice, has("was stopped", "gets no new connections", "is restarted"):
		return string(Attention)
	case has("(MASTER)", " is up", "leaving FAULT", "was started"):
		return string(Well)
	}
	return "plain"
}

// thisHost shows what runs on this host, and what was done last.
func thisHost(s status.Status) g.Node {
	var rows []g.Node
	row := func(label string, value ...g.Node) {
		rows = append(rows, tag("div", tag("dt", plain(label)), tag("dd", value...)))
	}
	if s.ObservedGeneration > 0 {
		row("Spec", plain(fmt.Sprintf("generation %d is in force", s.ObservedGeneration)))
	}
	if s.RoleReason != "" {
		row("Role", plain(string(s.Role)+" "), age(s.RoleSince), say(": "+s.RoleReason))
	}
	if h := s.HAProxy; h != nil {
		text := strings.TrimSpace(s.Versions.HAProxy + " " + string(h.State))
		if h.OldWorkers > 0 {
			text += fmt.Sprintf(", %s still finishing connections", plural(h.OldWorkers, "old process is", "old processes are"))
		}
		row("HAProxy", say(text))
	}
	if s.Versions.Keepalived != "" {
		row("keepalived", say(s.Versions.Keepalived))
	}
	if a := s.Agent; a != nil && a.Running {
		row("Agent", say(s.Versions.Agent+" runs "), age(a.Since))
	}
	if r := s.LastReconcile; r != nil {
		text := string(r.Result) + " in " + r.Duration
		if len(r.Steps) > 0 {
			text += ", " + plural(len(r.Steps), "step", "steps")
		}
		row("Last run", say(text+", "), past(r.Time), g.If(r.Error != "", say(": "+r.Error)))
	}
	if d := s.Drift; d.Found > 0 {
		text := fmt.Sprintf("found %d, repaired %d", d.Found, d.Repaired)
		when := g.Node(g.Group{})
		if d.Last != nil {
			text += "; the last: " + strings.Join(d.Last.Steps, ", ")
			if d.Last.By != "" {
				text += ", changed by " + d.Last.By
			}
			when = past(d.Last.Time)
		}
		row("Drift", say(text+" "), when)
	}
	if s.Updates != nil {
		for _, u := range s.Updates.HeldBack {
			text := fmt.Sprintf("%s %s is available, %s is installed and held", u.Package, u.Candidate, u.Version)
			row("Update", g.If(u.Security, g.Group{badge(Attention, "security"), plain(" ")}), say(text))
		}
	}
	for i, text := range s.NotSeen {
		if i == maxServices {
			break
		}
		row("Not seen", say(text))
	}
	var conditions []g.Node
	for _, c := range s.Conditions {
		text := c.Reason
		if c.Message != "" {
			text += ": " + c.Message
		}
		conditions = append(conditions, tag("div", tag("dt", plain(short(c.Type, maxName))), tag("dd", tag("strong", plain(c.Status)), plain(" "), say(text))))
	}
	return part("host", "This host", el("dl", "facts", rows...),
		tag("details", attr("id", "conditions"), tag("summary", plain("Conditions")), el("dl", "facts", conditions...)))
}
