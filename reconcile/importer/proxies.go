package importer

import (
	"slices"
	"strings"

	"rlb.dev/rlb-agent/api"
)

// proxy is a frontend, backend or listen section with the statements that it inherits.
type proxy struct {
	section
	defaults []statement // the statements of its defaults sections
}

// last returns the effective statement that begins with these words: the last one of the section itself, else the last
// inherited one.
func (p proxy) last(words ...string) (s statement, found bool) {
	for _, body := range [][]statement{p.body, p.defaults} {
		for i := len(body) - 1; i >= 0; i-- {
			if body[i].is(words...) {
				return body[i], true
			}
		}
	}
	return statement{}, false
}

// isHTTP says whether the section is in mode http.
func (p proxy) isHTTP() bool {
	mode, _ := p.last("mode")
	return mode.word(1) == "http"
}

// isStats says whether the section only serves HAProxy's statistics page.
func (p proxy) isStats() bool {
	serves := slices.ContainsFunc(p.body, func(s statement) bool { return s.is("server") || s.is("default_backend") })
	return !serves && slices.ContainsFunc(p.body, func(s statement) bool {
		return s.is("stats", "enable") || s.is("stats", "uri") || s.is("http-request", "use-service", "prometheus-exporter")
	})
}

// haproxy imports haproxy.cfg.
func (m *mapping) haproxy() {
	m.file = 0
	all := m.unconditional(sections(string(m.files[0].Data), m.own))
	m.relativeCA = slices.ContainsFunc(all, func(s section) bool { return slices.ContainsFunc(s.body, namesRelativeCA) })
	backends := map[string]proxy{}
	var fronts, used []proxy
	inherited := inheritance(all)
	main := -1 // index of the defaults section for proxy.timeouts and proxy.extraDefaults
	for i, s := range all {
		p := proxy{s, inherited[i].statements}
		switch s.keyword {
		case "frontend", "listen":
			fronts = append(fronts, p)
		case "backend":
			backends[s.name] = p
			if of, isSecond := strings.CutSuffix(s.name, ":failopen"); isSecond {
				m.failsOpen[of] = true
			}
		}
		if main < 0 && s.keyword != "defaults" {
			main = inherited[i].from
		}
	}
	for i, s := range all {
		switch s.keyword {
		case "global":
			m.global(s)
		case "defaults":
			if main < 0 || i == main {
				main = i
				m.mainDefaults(proxy{s, inherited[i].statements})
			} else {
				m.otherDefaults(s)
			}
		case "frontend", "listen", "backend":
		default:
			m.otherSection(s)
		}
	}
	for _, p := range fronts[:min(len(fronts), 2*maxServices)] {
		used = append(used, m.front(p, backends)...)
	}
	for _, s := range all {
		if _, isOpen := strings.CutSuffix(s.name, ":failopen"); s.keyword == "backend" && !(m.own && isOpen) &&
			!slices.ContainsFunc(used, func(p proxy) bool { return p.name == s.name }) {
			m.lost(s.line, "backend "+s.name, "no frontend that is carried over leads to it")
		}
	}
}

// inheritance returns for each section the statements that it inherits from defaults sections, and the index of the nearest
// one.
func inheritance(all []section) []inherits {
	found := make([]inherits, len(all))
	named := map[string]int{}
	last, budget := -1, 1<<20 // limits the copied statements: a long chain of sections copies the same ones repeatedly
	for i, s := range all {
		from := -1
		switch {
		case s.from != "":
			if at, known := named[s.from]; known {
				from = at
			}
		case s.keyword != "defaults":
			from = last
		}
		found[i] = inherits{from: from}
		if from >= 0 {
			found[i].statements = all[from].body
			above := found[from].statements
			if budget -= len(above) + len(all[from].body); len(above) > 0 && budget > 0 {
				found[i].statements = slices.Concat(above, all[from].body)
			}
		}
		if s.keyword == "defaults" {
			last, named[s.name] = i, i
		}
	}
	return found
}

type inherits struct {
	from       int // -1 for none
	statements []statement
}

// maxDefaults is the limit for the lines of a defaults section, because every section inherits them.
const maxDefaults = 2000

// unconditional removes and reports the conditional blocks that HAProxy evaluates at its start (HAProxy configuration
// manual §2.4, conditional blocks).
func (m *mapping) unconditional(all []section) []section {
	depth := 0
	for i := range all {
		if depth > 0 {
			m.lost(all[i].line, all[i].keyword+" "+all[i].name, "HAProxy decides at its start whether it holds")
			all[i].keyword = ".if"
		}
		if body := all[i].body; all[i].keyword == "defaults" && !m.own && len(body) > maxDefaults {
			m.lost(body[maxDefaults].line, directive(body[maxDefaults]), "a defaults section is read up to %d lines", maxDefaults)
			all[i].body = body[:maxDefaults]
		}
		all[i].body = slices.DeleteFunc(all[i].body, func(s statement) bool {
			first := s.word(0)
			if !strings.HasPrefix(first, ".") || m.own {
				if depth > 0 && all[i].keyword != ".if" {
					m.lost(s.line, directive(s), "HAProxy decides at its start whether it holds")
				}
				return depth > 0
			}
			switch first {
			case ".if":
				depth++
			case ".endif":
				depth = max(0, depth-1)
			}
			m.lost(s.line, first, "the spec has no conditions")
			return true
		})
	}
	return slices.DeleteFunc(all, func(s section) bool { return s.keyword == ".if" })
}

// otherSections are sections that raw lines may refer to, and that have an effect without HTTP.
var otherSections = []string{"peers", "mailers", "ring", "log-forward", "log-profile", "crt-store"}

// otherSection imports or reports a section that is not global, defaults, frontend, listen or backend.
func (m *mapping) otherSection(s section) {
	name := strings.TrimSpace(s.keyword + " " + s.name)
	switch {
	case m.own && s.keyword == "resolvers" && (s.name == "rlb" || s.name == "rlb:dns"):
	case s.keyword == "resolvers":
		m.lost(s.line, name, "the agent writes a resolvers section with the name servers of /etc/resolv.conf")
	case slices.Contains(otherSections, s.keyword):
		at := len(m.spec.Proxy.ExtraDefaults)
		m.raw(&m.spec.Proxy.ExtraDefaults, s.statement)
		if len(m.spec.Proxy.ExtraDefaults) > at {
			for _, line := range s.body {
				m.raw(&m.spec.Proxy.ExtraDefaults, line)
			}
			m.note(s.line, name, "carried over to proxy.extraDefaults")
		}
	case s.keyword == "program":
		m.lost(s.line, name, "HAProxy 3.3 has no programs any more; a systemd unit runs them")
	default:
		m.lost(s.line, name, "it is for HTTP, and services are TCP")
	}
}

// stats imports the section of HAProxy's statistics page.
func (m *mapping) stats(p proxy) {
	for _, s := range p.body {
		switch {
		case s.is("bind"):
			at, why := parseBind(s.word(1))
			switch {
			case why != "":
				m.lost(s.line, "bind", "%s", why)
			case m.spec.Proxy.Stats.Address != "":
				m.lost(s.line, "bind", "proxy.stats.address is one address")
			case m.own:
				m.spec.Proxy.Stats.Address = s.word(1)
			default:
				m.spec.Proxy.Stats.Address = at[0].socket()
				if len(at) > 1 {
					m.lost(s.line, "bind", "proxy.stats.address is one address")
				}
			}
		case m.own, s.is("mode"), s.is("stats", "enable"), s.is("stats", "hide-version"), s.is("stats", "uri", "/"),
			s.is("stats", "refresh"), s.is("http-request", "use-service", "prometheus-exporter"), s.is("option", "dontlog-normal"), s.is("option", "httplog"):
		case s.is("stats", "uri"):
			m.lost(s.line, "stats uri", "the page is at /, and metrics at /metrics")
		case s.is("stats", "auth"), s.is("stats", "admin"):
			m.lost(s.line, directive(s), "the page asks for no password and changes nothing; firewall.allowFrom says who may reach it")
		default:
			m.lost(s.line, directive(s), "proxy.stats has an address only")
		}
	}
}

// raw adds a statement to raw lines. It reports a statement that cannot be a raw line.
func (m *mapping) raw(lines *api.Lines, s statement) {
	line := s.plain()
	if m.own {
		line = strings.TrimPrefix(s.text, "    ")
	}
	if !isRawLine(line) {
		m.lost(s.line, directive(s), "it holds control characters, or is not UTF-8")
		return
	}
	*lines = append(*lines, line)
}

// namesRelativeCA says whether a statement names a ca-file with a path relative to ca-base.
func namesRelativeCA(s statement) bool {
	at := slices.Index(s.words, "ca-file")
	return at >= 0 && at+1 < len(s.words) && !strings.HasPrefix(s.words[at+1], "/")
}

// directive returns the name of a statement in a report: its keyword, but no values, which may be secrets.
func directive(s statement) string {
	switch s.word(0) {
	case "option", "timeout", "stats", "http-request", "http-response", "tcp-request", "tcp-response", "http-check", "tcp-check",
		"no", "server", "server-template", "use_backend", "default_backend", "stick":
		return strings.TrimSpace(s.word(0) + " " + s.word(1))
	}
	return s.word(0)
}
