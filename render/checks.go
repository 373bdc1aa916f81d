package render

import (
	"strings"

	"rlb.dev/rlb-agent/api"
)

// Checks holds the parts of a haproxy.cfg that decide whether HAProxy finds a server healthy: the server's address, its
// check, and all lines that are not known to have no influence.
type Checks struct {
	common   string // the lines of the sections that all backends share
	backends map[string]*backendChecks
}

type backendChecks struct {
	settings string            // the lines that are not servers
	servers  map[string]string // by name
}

// ParseChecks reads an installed or a rendered haproxy.cfg.
func ParseChecks(config []byte) Checks {
	c := Checks{backends: map[string]*backendChecks{}}
	var common strings.Builder
	var section string
	var b *backendChecks // nil outside of a backend
	for line := range strings.Lines(string(config)) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if api.IsSection(words[0]) {
			section, b = words[0], nil
			if section == "backend" && len(words) > 1 {
				b = &backendChecks{servers: map[string]string{}}
				c.backends[words[1]] = b
			}
		}
		server, isServer := ParseServer(line)
		switch {
		case section == "frontend" || section == "listen" || withoutInfluence(words):
		case b == nil:
			common.WriteString(line)
		case isServer:
			b.servers[server.Name] = words[2] + " " + server.Rest
		default:
			b.settings += line
		}
	}
	c.common = common.String()
	return c
}

// withoutInfluence reports whether a line has no influence on health checks.
func withoutInfluence(words []string) bool {
	switch words[0] {
	case "maxconn", "hard-stop-after", "mworker-max-reloads", "log", "stats", "retries", "balance":
		return true
	case "timeout":
		return len(words) > 1 && words[1] != "check" && words[1] != "connect"
	}
	return false
}

// Same reports whether a server exists in both and is checked in the same way.
func (c Checks) Same(other Checks, backend, server string) bool {
	a, b := c.backends[backend], other.backends[backend]
	if a == nil || b == nil || c.common != other.common || a.settings != b.settings {
		return false
	}
	before, known := a.servers[server]
	return known && before == b.servers[server]
}
