package importer

import (
	"slices"
	"strings"
)

// serverNameACLs are the TLS server names that ACLs of a section stand for, by the ACLs' names. An ACL with another
// condition is not among them.
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

// serverNames reads a condition on the TLS server name (HAProxy configuration manual §7.3.5, req.ssl_sni). A name with
// a dot first stands for all beneath it.
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
		case strings.Contains(name, "*") || len(name) > maxDNSName: // HAProxy knows no wildcards: no client asks for these
			return nil, false
		case end && strings.HasPrefix(name, "."):
			names = append(names, "*"+name)
		case end:
			return nil, false // "example.org" at the end fits notexample.org too
		default:
			names = append(names, name)
		}
	}
	return names, len(names) > 0
}

// maxDNSName is how many characters a DNS name has at most.
const maxDNSName = 253

// relative is a DNS name without the dot that says that it is complete.
func relative(name string) string {
	if short := strings.TrimSuffix(name, "."); short != "" {
		return short
	}
	return name
}

// effective are the routes that lead a connection elsewhere than the others do. HAProxy takes the first route that has
// the name, and a spec the one that is nearest to the name. The two are the same once each name is left out that a
// route before takes: where two of the others overlap, the nearer one then comes first.
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
	for i := range routes { // a name that leads where the rest goes tells nothing apart, unless a wildcard leads it elsewhere
		routes[i].names = slices.DeleteFunc(routes[i].names, func(name string) bool {
			return routes[i].backend == f.elsewhere && !slices.ContainsFunc(covering(name), func(n string) bool {
				return first[n].line > 0 && first[n].backend != f.elsewhere
			})
		})
	}
	return slices.DeleteFunc(routes, func(r route) bool { return len(r.names) == 0 })
}

// covering are a name and the wildcards that stand for it too, the nearest one first, in small letters.
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

// routeNames are the TLS server names that a use_backend line is for, or why there are none.
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
		if len(words) > 0 && words[0] != "or" && words[0] != "||" { // two conditions at a time
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

// withoutDotted are the names of a use_backend line that a spec can have. HAProxy compares names as they are sent, and a
// TLS server name is sent without a dot at its end (RFC 6066): what leads one with it elsewhere is not for the others.
func (m *mapping) withoutDotted(s statement, names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		dotted := strings.HasSuffix(name, ".")
		if dotted {
			m.lost(s.line, directive(s), "%s is no TLS server name: those have no dot at the end, and HAProxy leads only clients there that send one", printable(name))
		}
		return dotted
	})
}

// isHello says whether a rule lets a connection pass once its TLS ClientHello is there.
func isHello(s statement) bool {
	words := strings.Join(s.words, " ")
	return strings.Contains(words, "ssl_hello_type") || strings.Contains(words, "req.ssl_sni -m found")
}

// ownRoutes is where the generated lines behind the raw ones of a frontend begin.
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
