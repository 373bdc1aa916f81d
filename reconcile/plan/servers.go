package plan

import (
	"fmt"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/render"
)

// backend is a wanted backend.
type backend struct{ render.Backend }

// split takes the servers of the named backends out of an installed haproxy.cfg. rest are all other lines.
func split(data []byte, backends map[string]bool) (servers map[string]map[string]render.Server, rest []string, ok bool) {
	servers = map[string]map[string]render.Server{}
	backend := ""
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if len(words) > 0 && !strings.HasPrefix(line, " ") { // render indents all lines except those that open a section
			backend = ""
			if words[0] == "backend" && len(words) > 1 && backends[words[1]] {
				backend = words[1]
			}
		}
		if backend == "" || len(words) == 0 || words[0] != "server" {
			rest = append(rest, line)
			continue
		}
		s, understood := render.ParseServer(line)
		if !understood {
			return nil, nil, false
		}
		if servers[backend] == nil {
			servers[backend] = map[string]render.Server{}
		}
		servers[backend][s.Name] = s
	}
	return servers, rest, true
}

// dynamic reports whether servers can be added under this balance algorithm while HAProxy runs, and whether their order has
// no meaning (HAProxy configuration manual §4.2, balance).
func (b backend) dynamic() bool { return b.Balance == "roundrobin" || b.Balance == "leastconn" }

// weighed reports whether the algorithm accepts any weight while HAProxy runs.
func (b backend) weighed() bool { return b.dynamic() || b.Balance == "first" }

// addable reports whether the runtime API ("add server") accepts the words of a server line. It accepts those that render
// writes, but it would not resolve a DNS name.
func addable(s render.Server) bool {
	words := strings.Fields(s.Rest)
	for i := 0; i < len(words); i++ {
		switch words[i] {
		case "check", "check-ssl", "backup", "check-send-proxy", "send-proxy", "send-proxy-v2":
		case "verify", "ca-file", "port", "check-sni", "inter", "fastinter", "rise", "fall", "on-marked-down", "init-state":
			i++
		default:
			return false
		}
	}
	return !s.IsName()
}

// add are the commands that add a server to the running HAProxy. A new server is in maintenance, with its check off.
func add(backend string, s render.Server) []string {
	place := backend + "/" + s.Name
	line := fmt.Sprintf("add server %s %s", place, s.Addr())
	if s.Rest != "" {
		line += " " + s.Rest
	}
	line += fmt.Sprintf(" weight %d", s.Weight)
	if s.MaxConnections > 0 {
		line += fmt.Sprintf(" maxconn %d", s.MaxConnections)
	}
	commands := []string{line}
	if checked(s) {
		commands = append(commands, "enable health "+place)
	}
	return append(commands, "enable server "+place)
}

func checked(s render.Server) bool { return slices.Contains(strings.Fields(s.Rest), "check") }
