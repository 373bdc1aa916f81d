package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"rlb.dev/rlb-agent/render"
)

// backendLines is a backend of haproxy.cfg with those of its servers that stem from the spec's servers.
type backendLines struct {
	name    string
	balance string
	servers []serverLine
	raw     []string // the user's own lines
}

// serverLine is a server line of haproxy.cfg.
type serverLine struct {
	name    string
	address string // without brackets; an address or a DNS name
	port    int
	weight  int    // 1 where the line has none
	maxconn int    // 0 where the line has none
	rest    string // all other words
}

func (s serverLine) isName() bool {
	_, err := netip.ParseAddr(s.address)
	return err != nil
}

// addr is where the server listens; not valid where the line has a DNS name.
func (s serverLine) addr() netip.AddrPort {
	addr, err := netip.ParseAddr(s.address)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(s.port))
}

// parseServer reads a server line (HAProxy configuration manual §5.2) as render writes it.
func parseServer(words []string) (s serverLine, ok bool) {
	if len(words) < 3 || words[0] != "server" {
		return s, false
	}
	colon := strings.LastIndex(words[2], ":")
	if colon < 0 {
		return s, false
	}
	s = serverLine{name: words[1], address: strings.Trim(words[2][:colon], "[]"), weight: 1}
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		ok = ok && err == nil
		return n
	}
	ok = true
	s.port = number(words[2][colon+1:])
	var rest []string
	for i := 3; i < len(words); i++ {
		switch {
		case words[i] == "weight" && i+1 < len(words):
			i++
			s.weight = number(words[i])
		case words[i] == "maxconn" && i+1 < len(words):
			i++
			s.maxconn = number(words[i])
		default:
			rest = append(rest, words[i])
		}
	}
	s.rest = strings.Join(rest, " ")
	return s, ok
}

// backendsOf are the backends of a rendered file that have servers of the spec.
func backendsOf(f render.File) []backendLines {
	var all []backendLines
	number := 0
	for line := range strings.Lines(string(f.Data)) {
		number++
		words, origin := strings.Fields(line), f.Origin(number)
		switch {
		case len(words) > 1 && words[0] == "backend" && strings.HasPrefix(origin, "services["):
			all = append(all, backendLines{name: words[1]})
		case len(all) == 0 || len(words) == 0:
		case strings.HasSuffix(origin, ".extraBackend"):
			last := &all[len(all)-1]
			last.raw = append(last.raw, strings.TrimSpace(line))
		case strings.HasSuffix(origin, ".balance"):
			all[len(all)-1].balance = words[1]
		case strings.Contains(origin, ".servers["):
			if s, ok := parseServer(words); ok {
				last := &all[len(all)-1]
				last.servers = append(last.servers, s)
			}
		}
	}
	return all
}

// split takes the servers of the named backends out of a haproxy.cfg, which need not be rendered just now. What stays
// are all other lines.
func split(data []byte, backends map[string]bool) (servers map[string]map[string]serverLine, rest []string, ok bool) {
	servers = map[string]map[string]serverLine{}
	backend := ""
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if len(words) > 0 && !strings.HasPrefix(line, " ") { // render indents all lines but those that open a section
			backend = ""
			if words[0] == "backend" && len(words) > 1 && backends[words[1]] {
				backend = words[1]
			}
		}
		if backend == "" || len(words) == 0 || words[0] != "server" {
			rest = append(rest, line)
			continue
		}
		s, understood := parseServer(words)
		if !understood {
			return nil, nil, false
		}
		if servers[backend] == nil {
			servers[backend] = map[string]serverLine{}
		}
		servers[backend][s.name] = s
	}
	return servers, rest, true
}

// beyondLines says whether servers are what they are by more than their lines: by a default-server line, which those
// that are added while HAProxy runs would not take, or by a file with the state that they had before.
func beyondLines(data []byte) bool {
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if len(words) > 0 && slices.Contains([]string{"default-server", "load-server-state-from-file"}, words[0]) {
			return true
		}
	}
	return false
}

// dynamic says whether servers of this algorithm can come while HAProxy runs, and their order means nothing (HAProxy
// configuration manual §4.2, balance).
func (b backendLines) dynamic() bool { return b.balance == "roundrobin" || b.balance == "leastconn" }

// weighed says whether the algorithm takes any weight while HAProxy runs.
func (b backendLines) weighed() bool { return b.dynamic() || b.balance == "first" }

// named says whether the user's own lines speak of a server.
func (b backendLines) named(server string) bool {
	return slices.ContainsFunc(b.raw, func(line string) bool {
		return slices.ContainsFunc(strings.Fields(line), func(word string) bool {
			return word == server || strings.HasSuffix(word, "/"+server)
		})
	})
}

// addable says whether the runtime API takes the words of a server line ("add server"): those that render writes, but
// for DNS names, which it would not resolve.
func (s serverLine) addable() bool {
	words := strings.Fields(s.rest)
	for i := 0; i < len(words); i++ {
		switch words[i] {
		case "check", "check-ssl", "backup":
		case "verify", "ca-file", "inter", "fastinter", "rise", "fall", "on-marked-down", "init-state":
			i++
		default:
			return false
		}
	}
	return !s.isName()
}

// add are the commands that bring a server into the running HAProxy. It comes in maintenance, with its check off.
func (s serverLine) add(backend string) []string {
	place := backend + "/" + s.name
	line := fmt.Sprintf("add server %s %s", place, s.addr())
	if s.rest != "" {
		line += " " + s.rest
	}
	line += fmt.Sprintf(" weight %d", s.weight)
	if s.maxconn > 0 {
		line += fmt.Sprintf(" maxconn %d", s.maxconn)
	}
	commands := []string{line}
	if s.checked() {
		commands = append(commands, "enable health "+place)
	}
	return append(commands, "enable server "+place)
}

func (s serverLine) checked() bool { return slices.Contains(strings.Fields(s.rest), "check") }
