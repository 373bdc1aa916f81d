package importer

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"rlb.dev/rlb-agent/api"
)

// option is a word of a server line with its value, if it has one (HAProxy configuration manual §5.2).
type option struct {
	name, value string
	text        string // as in the file
	words       int
}

// alone are the options of a server line without a value.
var alone = []string{"allow-0rtt", "backup", "check", "check-send-proxy", "check-ssl", "check-via-socks4", "disabled", "enabled", "force-sslv3", "force-tlsv10",
	"force-tlsv11", "force-tlsv12", "force-tlsv13", "non-stick", "send-proxy", "send-proxy-v2", "send-proxy-v2-ssl", "send-proxy-v2-ssl-cn", "ssl", "ssl-reuse",
	"stick", "strict-maxconn", "tfo", "tls-tickets", "agent-check", "log-bufsize", "check-reuse-pool", "no-stick"}

// generatedOptions are the options of a generated server line, in their order.
var generatedOptions = []string{"check", "port", "check-ssl", "verify", "ca-file", "check-sni", "inter", "rise", "fall", "fastinter", "on-marked-down", "init-state",
	"check-send-proxy", "send-proxy", "send-proxy-v2", "weight", "maxconn", "backup", "init-addr", "resolvers", "resolve-prefer"}

// options splits the words of a statement from index from on into options. With ordered, it stops at the first word that is
// not a generated one.
func options(s statement, from int, ordered bool) (all []option) {
	last := -1
	for i := from; i < len(s.words); {
		o := option{name: s.words[i]}
		n := 1
		if !slices.Contains(alone, o.name) && !strings.HasPrefix(o.name, "no-") && i+1 < len(s.words) {
			n, o.value = 2, s.words[i+1]
		}
		if ordered {
			at := slices.Index(generatedOptions, o.name)
			if at <= last {
				break
			}
			last = at
		}
		if i > 0 && i+n <= len(s.ends) {
			o.text = strings.TrimSpace(s.text[s.ends[i-1]:s.ends[i+n-1]])
		}
		o.words = n
		all = append(all, o)
		i += n
	}
	return all
}

// ownOptions returns the options of a rendered server line that come from fields, and how many words of the line come
// before services[].extraServer.
func (m *mapping) ownOptions(s statement) (all []option, taken int) {
	all = options(s, 3, true)
	taken = 3
	for i, o := range all {
		if !m.isOwn(s, all, i) {
			return all[:i], taken
		}
		taken += o.words
	}
	return all, taken
}

// isOwn reports whether the agent writes such an option after the options before it.
func (m *mapping) isOwn(s statement, all []option, i int) bool {
	before := settings{}
	before.add(all[:i])
	checks := before.has("check")
	switch o := all[i]; o.name {
	case "check":
		return slices.ContainsFunc(all[i:], func(o option) bool { return o.name == "fall" })
	case "port", "check-ssl", "verify", "ca-file", "check-sni", "inter", "rise", "fall":
		return checks
	case "fastinter":
		return m.profile == api.Standard && checks && strings.HasSuffix(o.value, "ms")
	case "on-marked-down":
		return m.profile == api.Standard && checks && o.value == "shutdown-sessions"
	case "init-state":
		return checks && o.value == "up"
	case "check-send-proxy":
		return checks && !before.has("port") && i+1 < len(all) && strings.HasPrefix(all[i+1].name, "send-proxy")
	case "send-proxy", "send-proxy-v2":
		return !checks || before.has("port") || before.has("check-send-proxy")
	case "init-addr", "resolvers", "resolve-prefer":
		address, _, _ := serverAddress(s.word(2))
		return !isAddress(address)
	}
	return true
}

// settings are the effective options: the last of each name. "no-check" removes "check".
type settings map[string]option

func (t settings) add(all []option) {
	for _, o := range all {
		if name, isNo := strings.CutPrefix(o.name, "no-"); isNo && slices.Contains(alone, name) {
			delete(t, name)
			continue
		}
		t[o.name] = o
	}
}

func (t settings) has(name string) bool { _, has := t[name]; return has }

// target is a server of a backend in the file.
type target struct {
	statement
	settings
	server api.Server
	extra  []string // options that have no field, in their order
}

// readServer reads a server line with the defaults for servers, or reports why it cannot.
func (m *mapping) readServer(s statement, defaults []option, tail string) (t target, ok bool) {
	t = target{statement: s, settings: settings{}}
	address, port, why := serverAddress(s.word(2))
	if why != "" {
		m.lost(s.line, directive(s), "%s", why)
		return t, false
	}
	all := options(s, 3, false)
	if m.own {
		all, _ = m.ownOptions(s)
	}
	t.add(defaults)
	t.add(all)
	t.server = api.Server{Name: s.word(1), Address: address, Port: port}
	if name := serviceName(s.word(1)); name != s.word(1) {
		m.note(s.line, directive(s), "carried over as server %s", name)
		t.server.Name = name
	}
	if t.has("weight") {
		t.server.Weight = m.optionNumber(s, t.settings["weight"], 0, 256)
		if !m.own && t.server.Weight != nil && *t.server.Weight == 1 { // HAProxy's own default
			t.server.Weight = nil
		}
	}
	if t.has("maxconn") && t.settings["maxconn"].value != "0" { // no limit
		t.server.MaxConnections = m.optionNumber(s, t.settings["maxconn"], 1, 1_000_000)
	}
	t.server.Backup = t.has("backup")
	if t.has("disabled") {
		t.server.Weight = new(0)
		m.note(s.line, directive(s), "carried over with weight 0, because it is disabled")
	}
	if m.own {
		if tail != "" {
			t.extra = []string{tail}
		}
		return t, true
	}
	m.otherOptions(&t, slices.Concat(defaults, all))
	return t, true
}

// otherOptions keeps the effective options of a server that have no field.
func (m *mapping) otherOptions(t *target, all []option) {
	for _, o := range all {
		if kept, has := t.settings[o.name]; !has || kept.text != o.text || slices.Contains(mappedOptions, o.name) || slices.Contains(t.extra, o.text) {
			continue
		}
		at := directive(t.statement) + " " + o.name
		switch o.name {
		case "cookie", "redir", "proto", "alpn", "ws":
			m.lost(t.line, at, "it is for HTTP, and services are TCP")
		case "resolvers", "init-addr", "resolve-prefer", "resolve-opts", "resolve-net":
			m.lost(t.line, at, "the agent says how DNS names are resolved")
		case "track":
			m.lost(t.line, at, "each service checks its servers itself")
		default:
			t.extra = append(t.extra, o.text)
		}
	}
}

// mappedOptions are the options that have a field, or that the agent writes anyway.
var mappedOptions = []string{"check", "port", "check-ssl", "inter", "rise", "fall", "weight", "maxconn", "backup", "disabled", "enabled", "send-proxy", "send-proxy-v2",
	"check-send-proxy"}

func (m *mapping) optionNumber(s statement, o option, least, most int) *int {
	return m.bounded(s.line, directive(s)+" "+o.name, o.value, least, most)
}

// serverAddress reads the address of a server line (HAProxy configuration manual §4.2, server). Without a port, HAProxy uses
// the port that the client connected to, which is the port of the service.
func serverAddress(text string) (address string, port *int, why string) {
	for _, prefix := range []string{"ipv4@", "ipv6@"} {
		text = strings.TrimPrefix(text, prefix)
	}
	switch {
	case text == "":
		return "", nil, "it has no address"
	case strings.Contains(text, "$"):
		return "", nil, "the address is a variable, whose value the file does not show"
	case strings.HasPrefix(text, "/"), strings.Contains(text, "@"):
		return "", nil, "a server has an IP address or a DNS name"
	}
	if at := strings.LastIndexByte(text, ':'); at >= 0 && !strings.HasSuffix(text, "]") {
		number, err := strconv.Atoi(text[at+1:])
		switch {
		case strings.HasPrefix(text[at+1:], "+"), strings.HasPrefix(text[at+1:], "-"):
			return "", nil, "the port depends on that of the client's connection"
		case text[at+1:] == "":
		case err != nil || number < 1 || number > 65535:
			return "", nil, printable(text[at+1:]) + " is no port"
		default:
			port = &number
		}
		text = text[:at]
	}
	address = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
	if name := relative(address); !isAddress(name) {
		address = name
	}
	if addr, err := netip.ParseAddr(address); err == nil && addr.IsUnspecified() || address == "" || address == "*" {
		return "", nil, "it uses the destination address of the client's connection"
	}
	return address, port, ""
}

func isAddress(text string) bool { _, err := netip.ParseAddr(text); return err == nil }

// ownTail returns services[].extraServer of a rendered service: the longest text after the generated words of a server line.
// All lines end with this text. In some lines its first words may look like generated ones, so the longest text is right.
func (m *mapping) ownTail(servers []statement) (tail string) {
	for _, s := range servers {
		_, taken := m.ownOptions(s)
		if rest := s.rest(taken); len(rest) > len(tail) {
			tail = rest
		}
	}
	return tail
}

// without removes a text from the end of a statement.
func (s statement) without(tail string) statement {
	text, found := strings.CutSuffix(s.text, " "+tail)
	if tail == "" || !found {
		return s
	}
	cut := s
	cut.text = text
	cut.words, cut.ends = haproxyWords(text)
	return cut
}
