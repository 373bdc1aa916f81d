package api

import (
	"slices"
	"strings"

	"rlb.dev/rlb-agent/api/textrule"
	"rlb.dev/rlb-agent/api/yamlfile"
)

// maxLines is the largest size of the raw lines of one field, in bytes.
const maxLines = 64 << 10

// rawLines checks what can be checked of raw lines without HAProxy and keepalived: that each is one line, and that
// none contradicts the lines that are rendered around it.
func (r *rules) rawLines() {
	r.lines("vrrp.extraInstance", r.spec.VRRP.ExtraInstance)
	r.instanceLines("vrrp.extraInstance", r.spec.VRRP.ExtraInstance)
	for i := range r.spec.Services {
		at, service := yamlfile.Index("services", i), &r.spec.Services[i]
		r.lines(yamlfile.Join(at, "extraFrontend"), service.ExtraFrontend)
		r.proxyLines(yamlfile.Join(at, "extraFrontend"), service.ExtraFrontend)
		r.overridden(yamlfile.Join(at, "extraFrontend"), service)
		r.lines(yamlfile.Join(at, "extraBackend"), service.ExtraBackend)
		r.proxyLines(yamlfile.Join(at, "extraBackend"), service.ExtraBackend)
		r.externalCheck(yamlfile.Join(at, "extraBackend"), service.ExtraBackend)
		r.serverWords(yamlfile.Join(at, "extraServer"), service.ExtraServer)
	}
	r.lines("proxy.extraGlobal", r.spec.Proxy.ExtraGlobal)
	r.lines("proxy.extraDefaults", r.spec.Proxy.ExtraDefaults)
	r.externalCheck("proxy.extraDefaults", r.spec.Proxy.ExtraDefaults)
	r.otherDefaults("proxy.extraDefaults", r.spec.Proxy.ExtraDefaults)
}

// lines checks that each raw line is one line, and that they are at most maxLines bytes.
func (r *rules) lines(path string, lines Lines) {
	total := 0
	for i, line := range lines {
		total += len(line) + 1
		if strings.ContainsFunc(line, textrule.IsControl) {
			r.wrong(yamlfile.Index(path, i), "must be one line without control characters, got %s", yamlfile.Quote(line))
		}
	}
	if total > maxLines {
		r.wrong(path, "must be at most %d bytes, got %d", maxLines, total)
	}
}

// overridden refuses a default_backend, because the service's own overrides it. A service with sni has no
// default_backend of its own. Whether another service has one at the same port is not checked.
func (r *rules) overridden(path string, service *Service) {
	for i, line := range service.ExtraFrontend {
		if words := strings.Fields(line); len(words) > 0 && words[0] == "default_backend" && len(service.SNI) == 0 {
			r.wrong(yamlfile.Index(path, i), "default_backend has no effect: the default_backend of the service comes after it; use a use_backend line")
		}
	}
}

// sections are the words that open a section of haproxy.cfg (HAProxy configuration manual §2 to §12).
var sections = []string{
	"global", "defaults", "frontend", "backend", "listen", "userlist", "peers", "mailers", "program", "resolvers", "cache",
	"ring", "http-errors", "log-forward", "log-profile", "fcgi-app", "crt-store", "traces", "acme",
}

// IsSection reports whether a word at the beginning of a line of haproxy.cfg opens a section.
func IsSection(word string) bool { return slices.Contains(sections, word) }

// FieldFor returns the field to use, or a short text, in place of a keyword that a rendered vrrp_instance has already.
func FieldFor(keyword string) (field string, found bool) {
	field, found = ownKeywords[keyword]
	return field, found
}

// proxyLines refuses raw lines that open a section: generated lines of the section follow them.
func (r *rules) proxyLines(path string, lines Lines) {
	for i, line := range lines {
		words := strings.Fields(line)
		if len(words) > 0 && IsSection(words[0]) {
			r.wrong(yamlfile.Index(path, i), "must not open a section, got %s: the generated lines behind it would belong to it; a section of its own stands in proxy.extraDefaults", yamlfile.Quote(words[0]))
		}
	}
}

// otherDefaults refuses a second defaults section behind the generated one: HAProxy would take the mode and the timeouts of
// the services from it, because a section inherits from the last defaults section before it.
func (r *rules) otherDefaults(path string, lines Lines) {
	for i, line := range lines {
		if words := strings.Fields(line); len(words) > 0 && words[0] == "defaults" {
			r.wrong(yamlfile.Index(path, i), "must not open a defaults section: the services would inherit from it alone; the lines stand without this one, and another section of defaults in proxy.extraGlobal")
		}
	}
}

// externalCheck refuses a check by a program: HAProxy runs in a chroot without programs, so each check would fail.
func (r *rules) externalCheck(path string, lines Lines) {
	for i, line := range lines {
		if words := strings.Fields(line); len(words) >= 2 && words[0] == "option" && words[1] == "external-check" {
			r.wrong(yamlfile.Index(path, i), "external-check cannot work: HAProxy runs in the chroot /var/lib/haproxy, where there are no programs; use healthCheck with type http and its port, path and method")
		}
	}
}

// serverWords refuses "disabled": maintenance is no field of the spec, so the agent ends it and makes the server ready.
func (r *rules) serverWords(path, words string) {
	if slices.Contains(strings.Fields(words), "disabled") {
		r.wrong(path, "must not hold disabled, since the agent ends maintenance of servers: one with weight: 0 gets no new connections, one that is removed from servers none at all")
	}
}

// ownKeywords maps the keywords that a rendered vrrp_instance already has (keepalived.conf(5)) to their fields.
var ownKeywords = map[string]string{
	"state":             "vrrp.priority; no node is master by configuration",
	"interface":         "vrrp.interface",
	"virtual_router_id": "vrrp.routerID",
	"priority":          "vrrp.priority",
	"advert_int":        "vrrp.advertisementInterval",
	"version":           "vrrp.version",
	"nopreempt":         "vrrp.preempt",
	"preempt":           "vrrp.preempt",
	"preempt_delay":     "vrrp.preemptDelay and vrrp.preempt: true",
	"virtual_ipaddress": "virtualIPs",
	"unicast_peer":      "nodes and vrrp.transport",
	"unicast_src_ip":    "nodes and vrrp.transport",
	"mcast_src_ip":      "nodes",
	"notify_master":     "vrrp.notify.master",
	"notify_backup":     "vrrp.notify.backup",
	"notify_fault":      "vrrp.notify.fault",
	"notify_stop":       "vrrp.notify.stop",
}

// instanceLines checks raw lines at the end of a vrrp_instance. They must close the blocks that they open, and must not
// repeat keywords that the instance has already. Lines after a brace that closes the instance do not belong to it.
func (r *rules) instanceLines(path string, lines Lines) {
	depth, left, opened := 0, false, 0
	for i, line := range lines {
		words := strings.Fields(keywords(line))
		if len(words) == 0 {
			continue
		}
		if depth == 0 && !left {
			r.ownKeyword(yamlfile.Index(path, i), words[0])
		}
		if depth == 0 {
			opened = i
		}
		depth += braceBalance(words)
		left = left || depth < 0
	}
	switch {
	case depth > 0:
		r.wrong(yamlfile.Index(path, opened), "must close the block that it opens: %d more { than }", depth)
	case depth < 0:
		r.wrong(path, "must not close a block that it does not open: %d more } than {", -depth)
	}
}

func (r *rules) ownKeyword(at, keyword string) {
	field, known := ownKeywords[keyword]
	switch {
	case known:
		r.wrong(at, "must not be %s, which the instance has already: use %s", keyword, field)
	case keyword == "authentication" && *r.spec.VRRP.Version == 3 && r.Sound("vrrp.version"):
		r.wrong(at, "must not be authentication: %s", noPassword)
	}
}

// braceBalance returns how many blocks a line opens, minus those that it closes.
func braceBalance(words []string) int {
	balance := 0
	for _, word := range words {
		balance += strings.Count(word, "{") - strings.Count(word, "}")
	}
	return balance
}

// keywords returns a line of keepalived.conf without quoted text, and without a comment, which begins with "#" or "!".
func keywords(line string) string {
	var b strings.Builder
	quoted := false
	for _, c := range line {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '#' || c == '!':
			return b.String()
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}
