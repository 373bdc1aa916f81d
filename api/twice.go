package api

import (
	"slices"
	"strings"

	"rlb.dev/rlb-agent/api/yamlfile"
)

// setting is a directive of haproxy.cfg and the field that renders it.
type setting struct{ directive, field string }

// Settings that raw lines may repeat, by section. The raw lines follow the lines of the fields, and HAProxy uses the
// last one.
var (
	globalSettings   = []setting{{"hard-stop-after", "hardStopAfter"}}
	defaultsSettings = []setting{
		{"retries", "retries"}, {"timeout connect", "timeouts.connect"}, {"timeout client", "timeouts.client"},
		{"timeout server", "timeouts.server"}, {"timeout tunnel", "timeouts.tunnel"},
	}
	frontendSettings = []setting{{"timeout client", "timeouts.client"}}
	backendSettings  = []setting{
		{"balance", "balance"}, {"option httpchk", "healthCheck.path"}, {"timeout check", "healthCheck.timeout"},
		{"timeout connect", "timeouts.connect"}, {"timeout server", "timeouts.server"}, {"timeout tunnel", "timeouts.tunnel"},
	}
)

// twice warns of raw lines that repeat settings of fields.
func (w *warnings) twice() {
	proxy := &w.spec.Proxy
	w.repeated("proxy.extraGlobal", proxy.ExtraGlobal, "proxy", globalSettings)
	w.repeated("proxy.extraDefaults", proxy.ExtraDefaults, "proxy", defaultsSettings)
	w.withoutEffect()
	w.serverDefaults("proxy.extraDefaults", proxy.ExtraDefaults, w.spec.Services, "services[]")
	for i := range w.spec.Services {
		s, path := &w.spec.Services[i], yamlfile.Index("services", i)
		w.repeated(yamlfile.Join(path, "extraFrontend"), s.ExtraFrontend, path, frontendSettings)
		w.repeated(yamlfile.Join(path, "extraBackend"), s.ExtraBackend, path, backendSettings)
		w.serverDefaults(yamlfile.Join(path, "extraBackend"), s.ExtraBackend, w.spec.Services[i:i+1], path)
		w.serverWords(s, path)
	}
}

// repeated warns of raw lines that repeat the settings of given fields.
func (w *warnings) repeated(path string, lines Lines, of string, settings []setting) {
	ofSection(lines, func(i int, words []string) {
		for _, s := range settings {
			if field := yamlfile.Join(of, s.field); begins(words, s.directive) && w.doc.given(field) {
				w.warn(yamlfile.Index(path, i), "%s sets %s too: HAProxy takes the last one, which is this line", field, yamlfile.Quote(s.directive))
			}
		}
	})
}

// withoutEffect warns of a second maxconn, because HAProxy uses the first, and of lines of the defaults section that
// each service overrides with a setting of its own.
func (w *warnings) withoutEffect() {
	proxy := &w.spec.Proxy
	ofSection(proxy.ExtraGlobal, func(i int, words []string) {
		if begins(words, "maxconn") && proxy.MaxConnections != nil {
			w.warn(yamlfile.Index("proxy.extraGlobal", i), `has no effect: HAProxy takes the first "maxconn", which is that of proxy.maxConnections`)
		}
	})
	inherits := slices.ContainsFunc(w.spec.Services, func(s Service) bool {
		return s.HealthCheck.Timeout == nil && s.HealthCheck.Type != CheckNone
	})
	ofSection(proxy.ExtraDefaults, func(i int, words []string) {
		for _, s := range []setting{{"balance", "services[].balance"}, {"timeout check", "services[].healthCheck.timeout"}} {
			if begins(words, s.directive) && (s.directive == "balance" || !inherits) {
				w.warn(yamlfile.Index("proxy.extraDefaults", i), "has no effect on the services: each has a %s of its own; use %s", yamlfile.Quote(s.directive), s.field)
			}
		}
	})
}

// checkWords are the words of a server line that belong to its health check, and the fields that render them.
var checkWords = []setting{{"inter", "interval"}, {"rise", "rise"}, {"fall", "fall"}}

// serverDefaults warns of words of default-server that each server line of these services repeats.
func (w *warnings) serverDefaults(path string, lines Lines, services []Service, of string) {
	if slices.ContainsFunc(services, func(s Service) bool { return s.HealthCheck.Type == CheckNone }) {
		return
	}
	ofSection(lines, func(i int, words []string) {
		for _, s := range checkWords {
			if begins(words, "default-server") && slices.Contains(words, s.directive) {
				w.warn(yamlfile.Index(path, i), "%s has no effect on the servers of the spec: each has one of its own; use %s", yamlfile.Quote(s.directive), yamlfile.Join(of, "healthCheck."+s.field))
			}
		}
	})
}

// serverWords warns of words in extraServer that repeat settings of fields earlier in the server line.
func (w *warnings) serverWords(s *Service, path string) {
	words := strings.Fields(s.ExtraServer)
	warn := func(word, field string) {
		if slices.Contains(words, word) {
			w.warn(yamlfile.Join(path, "extraServer"), "%s sets %s too: HAProxy takes the last one, which is that of extraServer", field, yamlfile.Quote(word))
		}
	}
	for _, name := range append(slices.Clone(checkWords), setting{"port", "port"}, setting{"check-sni", "host"}, setting{"ca-file", "caFile"}) {
		if field := yamlfile.Join(yamlfile.Join(path, "healthCheck"), name.field); w.doc.given(field) {
			warn(name.directive, field)
		}
	}
	if i := slices.IndexFunc(s.Servers, func(v Server) bool { return v.Weight != nil }); i >= 0 {
		warn("weight", yamlfile.Join(yamlfile.Index(yamlfile.Join(path, "servers"), i), "weight"))
	}
	if i := slices.IndexFunc(s.Servers, func(v Server) bool { return v.MaxConnections != nil }); i >= 0 {
		warn("maxconn", yamlfile.Join(yamlfile.Index(yamlfile.Join(path, "servers"), i), "maxConnections"))
	}
}

// ofSection calls f with the words of each raw line of the generated section. It stops at a section that a raw line
// opens.
func ofSection(lines Lines, f func(i int, words []string)) {
	for i, line := range lines {
		words := strings.Fields(line)
		if len(words) > 0 && IsSection(words[0]) {
			return
		}
		f(i, words)
	}
}

// begins reports whether words begin with the words of a directive.
func begins(words []string, directive string) bool {
	return strings.HasPrefix(strings.Join(words, " ")+" ", directive+" ")
}
