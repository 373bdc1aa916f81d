package page

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	g "maragu.dev/gomponents"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/status"
)

// machine is a host in the picture.
type machine struct {
	name, address string
	here          bool // this host
	known         bool // this host, or its agent reports its state
	holds         bool // it holds the virtual IPs, by its own report
	role          string
	since         time.Time
	level         Level
	notes         [2]string
}

// machines returns this host and its peers. A peer's state is from its agent's reports, which are not
// authenticated.
func machines(s status.Status) (all []machine) {
	own := machine{name: cmp.Or(s.Node, s.Host, "this host"), here: true, known: true, role: string(s.Role), since: s.RoleSince, level: Attention}
	for _, v := range s.VirtualIPs {
		own.holds = own.holds || v.Held
	}
	own.level = levelOfRole(s.Role, s.Drained, s.Is("Serving"))
	if s.Drained && s.Role != host.RoleMaster && s.Role != host.RoleBackup {
		own.role, own.since = "DRAINED", s.DrainedSince
	}
	if s.HAProxy != nil {
		own.notes[0] = "HAProxy " + string(s.HAProxy.State)
	}
	own.notes[1] = fmt.Sprintf("generation %d", s.ObservedGeneration)
	all = append(all, own)
	for _, p := range s.Peers {
		m := machine{name: p.Name, address: p.Address, role: "UNKNOWN", level: Attention}
		switch a := p.Agent; {
		case a == nil:
			m.notes = map[status.PeerState][2]string{
				status.PeerSeen:    {"answers", "no agent is heard"},
				status.PeerNotSeen: {"does not answer", "no agent is heard"},
			}[p.State]
			if m.notes[0] == "" {
				m.notes[0] = "nobody could look"
			}
			if p.State == status.PeerNotSeen {
				m.role, m.level = "NOT SEEN", Broken
			}
		case a.Goodbye:
			m.address, m.since = cmp.Or(m.address, a.MAC), a.Heard
			m.role, m.notes = "AGENT STOPPED", [2]string{"it said goodbye"}
		default:
			m.address, m.known, m.role, m.since = cmp.Or(m.address, a.MAC), true, string(a.Role), a.RoleSince
			m.holds, m.level = a.Role == host.RoleMaster, levelOfRole(a.Role, a.Drained, a.Serving)
			if a.Drained && !m.holds {
				m.role = "DRAINED"
			}
			m.notes[0] = map[bool]string{true: "HAProxy serves", false: "HAProxy does not serve"}[a.Serving]
			m.notes[1] = fmt.Sprintf("generation %d", a.Generation)
			if a.SpecDigest != "" && s.Condition("PeerInSync").Status == "False" {
				m.notes[1] += ", differs"
			}
		}
		all = append(all, m)
	}
	return all
}

func levelOfRole(role host.Role, drained, serving bool) Level {
	switch {
	case drained:
		return Attention
	case (role == host.RoleMaster || role == host.RoleBackup) && serving:
		return Well
	case role == host.RoleUnknown:
		return Attention
	}
	return Broken
}

// Measures of the picture in pixels: heights only. Horizontally the picture uses percentages, so that its text is
// as large on a phone.
const (
	pillHigh   = 28
	pillsTop   = 46
	hostHigh   = 132
	betweenRow = 44
	lineHigh   = 21
)

// picture shows which host holds the virtual IPs, and since when.
func picture(s status.Status) g.Node {
	all := machines(s)
	shown := all[:min(len(all), maxHosts)]
	vips := s.VirtualIPs[:min(len(s.VirtualIPs), maxVIPs)]
	hostsTop := pillsTop + len(vips)*(pillHigh+6) + betweenRow
	serversTop := hostsTop + hostHigh + betweenRow
	high := serversTop + 34
	at := func(i int) string { return percent(100 * (2*float64(i) + 1) / (2 * float64(len(shown)))) }

	var lines, boxes []g.Node
	for i, m := range shown {
		class := "wire"
		if m.holds {
			class += " on"
		}
		lines = append(lines,
			mark("line", "class", class, "x1", "50%", "y1", strconv.Itoa(hostsTop-betweenRow-6), "x2", at(i), "y2", strconv.Itoa(hostsTop)),
			mark("line", "class", class, "x1", at(i), "y1", strconv.Itoa(hostsTop+hostHigh), "x2", "50%", "y2", strconv.Itoa(serversTop)))
		boxes = append(boxes, box(m, i, len(shown), hostsTop))
	}
	held := "off"
	for _, m := range shown {
		if m.holds {
			held = "on"
		}
	}
	boxes = append(boxes, label("50%", 16, "muted", "clients"), mark("line", "class", "wire "+held, "x1", "50%", "y1", "22", "x2", "50%", "y2", strconv.Itoa(pillsTop)))
	for i, v := range vips {
		y := pillsTop + i*(pillHigh+6)
		boxes = append(boxes,
			el("svg", "", attr("x", "50%"), attr("y", strconv.Itoa(y)), attr("overflow", "visible"),
				mark("rect", "class", "vip "+held, "x", "-104", "width", "208", "height", strconv.Itoa(pillHigh), "rx", "14"),
				label("0", 19, "viptext", short(v.Address, 28))))
	}
	if hidden := len(s.VirtualIPs) - len(vips); hidden > 0 {
		boxes = append(boxes, label("50%", hostsTop-14, "muted", "and "+plural(hidden, "address", "addresses")+" more"))
	}
	boxes = append(boxes, el("svg", "", attr("x", "50%"), attr("y", strconv.Itoa(serversTop)), attr("overflow", "visible"),
		mark("rect", "class", "serverspill", "x", "-84", "y", "0", "width", "168", "height", "28", "rx", "6"), label("0", 19, "", serversText(s))))
	if hidden := len(all) - len(shown); hidden > 0 {
		boxes = append(boxes, label("50%", high-2, "muted", "and "+plural(hidden, "host", "hosts")+" more"))
	}
	words := inWords(s, shown)
	class := "pair"
	if len(shown) > 2 {
		class += " wide"
	}
	return part("pair", "The pair", tag("figure",
		el("div", class, el("svg", "picture", attr("role", "img"), attr("aria-label", strings.Join(words, " ")),
			attr("width", "100%"), attr("height", strconv.Itoa(high)), g.Group(lines), g.Group(boxes))),
		tag("figcaption", plain(words[0]), g.If(s.Is("Redundant"), say(" "+s.Condition("Redundant").Message+".")))))
}

// box draws the host at index "at" of "of" hosts.
func box(m machine, at, of, top int) g.Node {
	wide := 100 / float64(of)
	class := "box " + string(m.level)
	if m.holds {
		class += " holds"
	}
	if !m.known {
		class += " unknown"
	}
	line := 24
	row := func(class, text string) g.Node {
		n := el("text", class, attr("x", "14"), attr("y", strconv.Itoa(line)), plain(text))
		line += lineHigh
		return n
	}
	name := short(m.name, 16)
	title := g.Group{row("hostname", name)}
	if m.here {
		title = append(title, el("text", "here", attr("x", "100%"), attr("dx", "-14"), attr("y", "23"), plain("this host")))
	}
	role := el("svg", "rolemark "+string(m.level), attr("x", "14"), attr("y", "33"), attr("width", "16"), attr("height", "16"), sign(m.level))
	roleText := el("text", "role "+string(m.level), attr("x", "36"), attr("y", "46"), plain(short(m.role, 16)))
	line += lineHigh
	since := g.Node(g.Group{})
	if !m.since.IsZero() {
		since = el("text", "age", attr("x", "14"), attr("y", strconv.Itoa(line)), attr("data-form", "for"),
			attr("data-at", m.since.UTC().Format(time.RFC3339)), plain("since "+clock(m.since)))
		line += lineHigh
	}
	return tag("svg", attr("x", percent(float64(at)*wide+wide*0.03)), attr("y", strconv.Itoa(top)), attr("width", percent(wide*0.94)), attr("height", strconv.Itoa(hostHigh)),
		mark("rect", "class", class, "x", "1.500", "y", "1.500", "width", "100%", "height", strconv.Itoa(hostHigh-3), "rx", "10"),
		title, role, roleText, since, row("note", short(m.notes[0], 30)), row("note", short(m.notes[1], 30)))
}

func label(x string, y int, class, text string) g.Node {
	return el("text", class, attr("x", x), attr("y", strconv.Itoa(y)), attr("text-anchor", "middle"), plain(text))
}

func percent(of float64) string { return strconv.FormatFloat(of, 'f', 2, 64) + "%" }

func serversText(s status.Status) string {
	up, all := 0, 0
	for _, service := range s.Services {
		up, all = up+service.ServersUp(), all+len(service.Servers)
	}
	return fmt.Sprintf("%d of %d servers up", up, all)
}

// inWords describes the picture: first which host holds the virtual IPs, then each host.
func inWords(s status.Status, all []machine) (sentences []string) {
	var holders []string
	for _, m := range all {
		text := short(m.name, maxName) + " is " + m.role
		if !m.since.IsZero() {
			text += " since " + clock(m.since)
		}
		for _, note := range m.notes {
			if note != "" {
				text += ", " + note
			}
		}
		sentences = append(sentences, text+".")
		if m.holds {
			holders = append(holders, short(m.name, maxName))
		}
	}
	what := "the virtual IP"
	if len(s.VirtualIPs) > 1 {
		what = "the virtual IPs"
	}
	first := "No host that is heard holds " + what + "."
	switch {
	case len(holders) == 1:
		first = holders[0] + " holds " + what + "."
	case len(holders) > 1:
		first = strings.Join(holders, " and ") + " both hold " + what + "."
	}
	return append([]string{first}, append(sentences, serversText(s)+".")...)
}
