package importer

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/render"
)

// ownGlobal and ownDefaults list the beginnings of the generated lines of these sections for each profile, in their order.
var (
	ownGlobal = map[api.Profile][]string{
		api.Standard: slices.Concat(globalHead, globalTail),
		api.Classic:  slices.Concat(globalHead, []string{"daemon", "ca-base ", "crt-base ", "ssl-default-bind-ciphers ", "ssl-default-bind-options "}, globalTail),
	}
	globalHead  = []string{"log ", "log ", "chroot ", "stats socket ", "stats timeout ", "user ", "group "}
	globalTail  = []string{"maxconn ", "hard-stop-after ", "mworker-max-reloads 2147483647", `setenv RES_OPTIONS "timeout:1 attempts:1"`}
	ownTimeouts = []string{"retries ", "timeout connect ", "timeout client  ", "timeout server  ", "timeout tunnel  "}
	keepAlive   = []string{
		"option clitcpka", "clitcpka-idle 60s", "clitcpka-intvl 10s", "clitcpka-cnt 3",
		"option srvtcpka", "srvtcpka-idle 60s", "srvtcpka-intvl 10s", "srvtcpka-cnt 3",
	}
	ownDefaults = map[api.Profile][]string{
		api.Standard: slices.Concat([]string{"log global", "mode tcp", "option tcplog", "option  dontlognull"}, keepAlive,
			ownTimeouts, []string{"timeout client-fin 10000ms", "timeout server-fin 10000ms"}),
		api.Classic: slices.Concat([]string{"log global", "mode tcp", "option tcp-check", "option tcplog", "option  dontlognull"},
			ownTimeouts, []string{"errorfile 400 ", "errorfile 403 ", "errorfile 408 ", "errorfile 500 ", "errorfile 502 ", "errorfile 503 ", "errorfile 504 "}),
	}
)

// head returns how many statements at the beginning of a section are generated: they begin with the texts in order, in this
// order. Each text matches once for each time that it occurs in order. The statements after them are raw lines.
func head(body []statement, order []string) int {
	next := 0
	for i, s := range body {
		found := slices.IndexFunc(order[next:], func(begin string) bool {
			value, ok := strings.CutPrefix(s.text, "    "+begin)
			return ok && (value == "" || strings.HasSuffix(begin, " ")) && isGenerated(s, value)
		})
		if found < 0 {
			return i
		}
		if next += found; !s.is("bind") {
			next++
		}
	}
	return len(body)
}

// withoutRaw returns the generated statements of a rendered section and imports its raw lines. It returns all statements of
// a section that the agent did not render.
func (m *mapping) withoutRaw(body []statement, order []string, raw *api.Lines) []statement {
	if !m.own {
		return body
	}
	generated := head(body, order)
	for _, line := range body[generated:] {
		m.raw(raw, line)
	}
	return body[:generated]
}

// isGenerated says whether a statement's value has the form that the agent writes.
func isGenerated(s statement, value string) bool {
	switch s.word(0) {
	case "timeout":
		d, ok := haproxyTime(value)
		return ok && render.Time(d) == value || s.is("timeout", "client-fin") || s.is("timeout", "server-fin") || s.is("stats")
	case "hard-stop-after":
		d, ok := haproxyTime(value)
		return ok && render.Time(d) == value
	case "maxconn", "retries":
		n, err := strconv.Atoi(value)
		return err == nil && strconv.Itoa(n) == value
	}
	return true
}

// global imports the global section. It skips or reports the statements that the agent sets itself.
func (m *mapping) global(s section) {
	p := &m.spec.Proxy
	for _, line := range m.withoutRaw(s.body, ownGlobal[m.profile], &p.ExtraGlobal) {
		switch {
		case line.is("maxconn"):
			p.MaxConnections = m.number(line, 1, 1, 10_000_000)
		case line.is("hard-stop-after"):
			p.HardStopAfter = m.time(line, 1)
		case m.own:
		case line.is("log", "/dev/log", "local0") && len(line.words) == 3, line.is("log", "/dev/log", "local1", "notice") && len(line.words) == 4,
			line.is("chroot", "/var/lib/haproxy"), line.is("stats", "timeout", "30s"), line.is("user", "haproxy"), line.is("group", "haproxy"),
			line.is("daemon"), line.is("master-worker"), line.is("stats", "socket", "/run/haproxy/admin.sock"):
		case line.is("chroot"), line.is("user"), line.is("group"), line.is("uid"), line.is("gid"), line.is("pidfile"), line.is("nbproc"):
			m.lost(line.line, line.word(0), "Debian's package says it: HAProxy runs as user haproxy in /var/lib/haproxy, under systemd")
		case line.is("stats", "timeout"):
			m.lost(line.line, "stats timeout", "it is 30s for the agent")
		case m.profile == api.Classic && slices.Contains(render.ClassicTLS, line.plain()):
		case line.is("ca-base") && m.relativeCA:
			m.caBase = line.word(1)
			m.raw(&p.ExtraGlobal, line)
		case line.is("ca-base"), line.is("crt-base"), strings.HasPrefix(line.word(0), "ssl-default-bind-"), line.is("ssl-dh-param-file"), line.is("tune.ssl.default-dh-param"):
			m.lost(line.line, line.word(0), "services end no TLS, so that it has no effect")
		default:
			m.raw(&p.ExtraGlobal, line)
		}
	}
}

// mainDefaults imports the main defaults section into proxy.timeouts, proxy.retries and proxy.extraDefaults.
func (m *mapping) mainDefaults(p proxy) {
	to := &m.spec.Proxy
	p.body = m.withoutRaw(p.body, ownDefaults[m.profile], &to.ExtraDefaults)
	m.timeouts(&to.Timeouts, proxy{section: p.section, defaults: p.defaults}, "connect", "client", "server", "tunnel")
	if retries, found := p.last("retries"); found {
		to.Retries = m.number(retries, 1, 0, 100)
	} else {
		to.Retries = new(3) // HAProxy's own default
	}
	if m.own {
		return
	}
	var lines api.Lines
	for _, line := range slices.Concat(p.defaults, p.body) {
		if !m.isMapped(line) && m.mayStand(line) {
			m.raw(&lines, line)
		}
	}
	to.ExtraDefaults = append(lines, to.ExtraDefaults...) // else they would belong to a section that stands before in the file
}

// otherDefaults reports the statements of another defaults section that no service takes.
func (m *mapping) otherDefaults(s section) {
	for _, line := range s.body {
		if !m.isMapped(line) && m.mayStand(line) {
			m.lost(line.line, directive(line), "proxy.extraDefaults stands for the first defaults section; extraFrontend and extraBackend of a service take it")
		}
	}
}

// isMapped says whether a statement of a defaults section has a field in the spec, or is written by the agent anyway. The
// import of a service looks such statements up in its defaults section.
func (m *mapping) isMapped(s statement) bool {
	switch s.word(0) {
	case "mode", "retries", "balance", "default-server", "http-check", "tcp-check":
		return true
	case "log":
		return s.is("log", "global")
	case "timeout":
		return slices.Contains([]string{"connect", "client", "server", "tunnel", "check"}, s.word(1)) || m.generatesFin() && s.is("timeout", "client-fin", "10s")
	case "errorfile":
		return s.word(2) == "/etc/haproxy/errors/"+s.word(1)+".http" // Debian's default pages, only for HTTP
	case "option":
		return slices.Contains([]string{"tcplog", "dontlognull", "redispatch", "tcp-check", "httpchk"}, s.word(1)) ||
			m.generatesFin() && (s.word(1) == "clitcpka" || s.word(1) == "srvtcpka" || s.word(1) == "tcpka")
	}
	return false
}

// generatesFin says whether the profile writes the keep-alive and FIN timeouts that end dead connections.
func (m *mapping) generatesFin() bool { return m.profile == api.Standard }

// mayStand says whether a statement can stay as a raw line. It reports a statement that cannot.
func (m *mapping) mayStand(s statement) bool {
	switch {
	case s.is("option", "external-check"), s.is("external-check"):
		m.lost(s.line, directive(s), "HAProxy runs in a chroot without programs; healthCheck asks over HTTP")
	case isHTTPOnly(s):
		m.lost(s.line, directive(s), "it is for HTTP, and services are TCP")
	default:
		return true
	}
	return false
}

// isHTTPOnly says whether a statement has an effect only in mode http.
func isHTTPOnly(s statement) bool {
	first, second := s.word(0), s.word(1)
	if first == "no" {
		first, second = second, s.word(2)
	}
	switch first {
	case "http-request", "http-response", "http-after-response", "http-reuse", "http-error", "http-send-name-header", "errorfile", "errorfiles", "errorloc", "errorloc302",
		"errorloc303", "cookie", "appsession", "compression", "redirect", "capture", "rsprep", "reqrep", "reqadd", "rspadd", "rspidel", "reqidel", "monitor-uri", "use-fcgi-app",
		"stats", "unique-id-format", "unique-id-header", "filter":
		return true
	case "option":
		return second == "forwardfor" || second == "forwarded" || second == "originalto" || second == "httplog" || second == "httpclose" || second == "forceclose" || strings.HasPrefix(second, "http-") ||
			second == "accept-invalid-http-request" || second == "accept-invalid-http-response" || second == "persist" || second == "transparent" || second == "prefer-last-server" || second == "abortonclose"
	case "timeout":
		return strings.HasPrefix(second, "http-")
	}
	return false
}

// timeouts imports the named timeouts of a section.
func (m *mapping) timeouts(to *api.Timeouts, p proxy, names ...string) {
	for _, name := range names {
		if s, found := p.last("timeout", name); found {
			*timeoutOf(to, name) = m.time(s, 2)
		}
	}
}

// number returns a word of a statement as a number within bounds, or nil.
func (m *mapping) number(s statement, at, least, most int) *int {
	return m.bounded(s.line, directive(s), s.word(at), least, most)
}

// bounded returns a text as a number within bounds, or reports it and returns nil.
func (m *mapping) bounded(line int, what, text string, least, most int) *int {
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		m.lost(line, what, "%s is no number from %d to %d", printable(text), least, most)
		return nil
	}
	return &n
}

// time returns a word of a statement as a time, or nil.
func (m *mapping) time(s statement, at int) *api.Duration {
	d, ok := haproxyTime(s.word(at))
	switch {
	case !ok:
		m.lost(s.line, directive(s), "%s is no time that the file shows", printable(s.word(at)))
		return nil
	case d == 0:
		m.lost(s.line, directive(s), "0 turns it off, and the spec always has one")
		return nil
	}
	return &d
}

// haproxyTime reads a time: a number and a unit, milliseconds if there is no unit (HAProxy configuration manual §2.5).
func haproxyTime(text string) (api.Duration, bool) {
	digits := strings.IndexFunc(text, func(c rune) bool { return c < '0' || c > '9' })
	unit := "ms"
	if digits >= 0 {
		text, unit = text[:digits], text[digits:]
	}
	n, err := strconv.ParseInt(text, 10, 32)
	scale := map[string]time.Duration{"us": time.Microsecond, "ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[unit]
	d := (time.Duration(n) * scale).Truncate(time.Millisecond)
	return api.Duration(d), err == nil && scale > 0 && d.Milliseconds() <= 1<<31-1
}
