package importer

import (
	"slices"
	"strings"
)

// serverNameACLs returns the TLS server names in the ACLs of a section, by ACL name. It leaves out an ACL with any other
// condition.
func serverNameACLs(body []statement) map[string][]string {
	acls := map[string][]string{}
	other := map[string]bool{}
	for _, s := range body {
		if !s.is("acl") || len(s.words) < 3 {
			continue
		}
		name := s.word(1)
		names, ok := serverNames(s.words[2:])
		if other[name] = other[name] || !ok; other[name] {
			delete(acls, name)
			continue
		}
		acls[name] = append(acls[name], names...)
	}
	return acls
}

// serverNames reads a condition on the TLS server name (HAProxy configuration manual §7.3.5, req.ssl_sni). A suffix that
// begins with a dot becomes a wildcard.
func serverNames(words []string) (names []string, ok bool) {
	if len(words) < 2 {
		return nil, false
	}
	end := false
	switch words[0] {
	case "req.ssl_sni", "req_ssl_sni":
	case "req.ssl_sni_end", "req_ssl_sni_end":
		end = true
	default:
		return nil, false
	}
	words = words[1:]
	for len(words) > 0 && strings.HasPrefix(words[0], "-") {
		switch {
		case words[0] == "-i":
		case words[0] == "-m" && len(words) > 1 && (words[1] == "end" || words[1] == "dom" || words[1] == "str"):
			if words[1] == "dom" {
				return nil, false
			}
			end = words[1] == "end"
			words = words[1:]
		default:
			return nil, false
		}
		words = words[1:]
	}
	for _, name := range words {
		switch {
		case strings.Contains(name, "*") || len(name) > maxDNSName: // HAProxy has no wildcards, and no client sends such a name
			return nil, false
		case end && strings.HasPrefix(name, "."):
			names = append(names, "*"+name)
		case end:
			return nil, false // the suffix "example.org" also matches notexample.org
		default:
			names = append(names, name)
		}
	}
	return names, len(names) > 0
}

// maxDNSName is the longest DNS name in characters.
const maxDNSName = 253

// relative returns a DNS name without the final dot of a fully qualified name.
func relative(name string) string {
	if short := strings.TrimSuffix(name, "."); short != "" {
		return short
	}
	return name
}

// effective returns the routes that have an effect. HAProxy uses the first route that matches a name. A spec uses the most
// specific match. effective removes each name that an earlier route covers. Then both rules give the same result, because
// the more specific of two overlapping names comes first.
func (m *mapping) effective(f front) (routes []route) {
	first := map[string]route{} // by name
	for _, r := range f.routes {
		var kept []string
		for _, name := range r.names {
			wide := slices.IndexFunc(covering(name), func(n string) bool { return first[n].line > 0 })
			if wide < 0 {
				kept = append(kept, name)
				first[strings.ToLower(name)] = r
				continue
			}
			if before := first[covering(name)[wide]]; before.backend != r.backend {
				m.lost(r.line, "use_backend "+r.backend, "line %d leads %s to backend %s before", before.line, printable(name), printable(before.backend))
			}
		}
		routes = append(routes, route{r.backend, kept, r.line})
	}
	for i := range routes { // a name with the default backend is not needed, unless a wildcard would send it to another backend
		routes[i].names = slices.DeleteFunc(routes[i].names, func(name string) bool {
			return routes[i].backend == f.elsewhere && !slices.ContainsFunc(covering(name), func(n string) bool {
				return first[n].line > 0 && first[n].backend != f.elsewhere
			})
		})
	}
	return slices.DeleteFunc(routes, func(r route) bool { return len(r.names) == 0 })
}

// covering returns a name and the wildcards that match it, the most specific one first, in lower case.
func covering(name string) []string {
	name = strings.ToLower(name)
	all := []string{name}
	for i, c := range name {
		if c == '.' {
			all = append(all, "*"+name[i:])
		}
	}
	return all
}

// routeNames returns the TLS server names of a use_backend line, or why it cannot.
func routeNames(s statement, acls map[string][]string) (names []string, why string) {
	const other = "services are TCP, and told apart by port and TLS server name only"
	if s.word(2) != "if" {
		return nil, other
	}
	words := s.words[3:]
	for len(words) > 0 {
		if len(names) > maxNames {
			return nil, "a service has at most 100 TLS server names"
		}
		if words[0] == "or" || words[0] == "||" {
			words = words[1:]
			continue
		}
		if words[0] == "{" {
			end := slices.Index(words, "}")
			if end < 0 {
				return nil, other
			}
			found, ok := serverNames(words[1:end])
			if !ok {
				return nil, other
			}
			names, words = append(names, found...), words[end+1:]
		} else {
			found, known := acls[words[0]]
			if !known {
				return nil, other
			}
			names, words = append(names, found...), words[1:]
		}
		if len(words) > 0 && words[0] != "or" && words[0] != "||" { // two conditions joined by "and"
			return nil, other
		}
	}
	if len(names) == 0 {
		return nil, other
	}
	return names, ""
}

// maxNames is how many TLS server names a service may have.
const maxNames = 100

// withoutDotted returns the names of a use_backend line without those that end with a dot, which it reports. Clients send TLS
// server names without a final dot (RFC 6066), and HAProxy compares names as sent, so a name with a dot does not match them.
func (m *mapping) withoutDotted(s statement, names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		dotted := strings.HasSuffix(name, ".")
		if dotted {
			m.lost(s.line, directive(s), "%s is no TLS server name: those have no dot at the end, and HAProxy leads only clients there that send one", printable(name))
		}
		return dotted
	})
}

// isHello says whether a rule accepts a connection once its TLS ClientHello has arrived.
func isHello(s statement) bool {
	words := strings.Join(s.words, " ")
	return strings.Contains(words, "ssl_hello_type") || strings.Contains(words, "req.ssl_sni -m found")
}

// ownRoutes returns where the generated lines after the raw lines of a frontend begin.
func ownRoutes(body []statement) int {
	at := len(body)
	byName := false
	for ; at > 0; at-- {
		s := body[at-1]
		sni := s.is("use_backend") && s.word(3) == "{" && s.word(4) == "req.ssl_sni"
		open := s.is("use_backend") && strings.HasSuffix(s.word(1), ":failopen")
		if !sni && !open && !(s.is("default_backend") && at == len(body)) {
			break
		}
		byName = byName || sni
	}
	for _, want := range []string{"    tcp-request content accept if { req.ssl_sni -m found }", "    tcp-request inspect-delay 5000ms"} {
		if byName && at > 0 && body[at-1].text == want {
			at--
		}
	}
	return at
}
