package importer

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// maxBinds is how many addresses a service may have.
const maxBinds = 50

// listener is an address and port at which a frontend listens.
type listener struct {
	address string // "*" for every address, or an address
	family  string // "4" or "6" if address is "*" of one family
	port    int
}

// socket returns the listener in the form of proxy.stats.address.
func (l listener) socket() string {
	host := l.address
	if host == "*" {
		if host = "0.0.0.0"; l.family == "6" {
			host = "::"
		}
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(addr, uint16(l.port)).String()
	}
	return host + ":" + strconv.Itoa(l.port)
}

// parseBind reads the addresses of a bind line, separated by commas (HAProxy configuration manual §4.2, bind), or returns
// why it cannot.
func parseBind(text string) (all []listener, why string) {
	for _, part := range strings.Split(text, ",") {
		if len(all) >= maxBinds {
			return nil, fmt.Sprintf("a service has at most %d addresses", maxBinds)
		}
		l, why := parseListener(part)
		if why != "" {
			return nil, why
		}
		all = append(all, l)
	}
	return all, ""
}

func parseListener(text string) (l listener, why string) {
	if rest, found := strings.CutPrefix(text, "ipv4@"); found {
		text = rest
	} else if rest, found := strings.CutPrefix(text, "ipv6@"); found {
		if text = rest; strings.HasPrefix(text, ":") && !strings.HasPrefix(text, "::") || strings.HasPrefix(text, "*:") {
			text = "::" + strings.TrimPrefix(text, "*")
		}
	}
	switch {
	case strings.Contains(text, "$"):
		return l, "the address is a variable, whose value the file does not show"
	case strings.HasPrefix(text, "/"), strings.Contains(text, "@"):
		return l, "a service listens on a TCP port of an IP address"
	}
	at := strings.LastIndexByte(text, ':')
	if at < 0 {
		return l, "it has no port"
	}
	host, port := strings.Trim(text[:at], "[]"), text[at+1:]
	number, err := strconv.Atoi(port)
	switch {
	case strings.Contains(port, "-"):
		return l, "a service has one port: write one service for each port of the range"
	case err != nil || number < 1 || number > 65535:
		return l, fmt.Sprintf("%s is no port", printable(port))
	}
	l.port = number
	addr, err := netip.ParseAddr(host)
	switch {
	case host == "" || host == "*":
		l.address, l.family = "*", "4"
	case err != nil || addr.Zone() != "":
		return l, fmt.Sprintf("%s is no IP address", printable(host))
	case addr.IsUnspecified():
		if l.address, l.family = "*", "6"; addr.Is4() {
			l.family = "4"
		}
	default:
		l.address = host
	}
	return l, ""
}

// endsTLS says whether a bind line terminates TLS.
func endsTLS(s statement) bool {
	return slices.Contains(s.words, "ssl") || slices.Contains(s.words, "crt")
}

// bindWords reports the options of a bind line that the spec does not support. proxyProtocol says that clients use the PROXY
// protocol.
func (m *mapping) bindWords(s statement) (proxyProtocol bool) {
	var unknown []string
	for i := 2; i < len(s.words); i++ {
		switch word := s.words[i]; word {
		case "transparent", "v6only", "v4v6": // the agent sets these options if needed
		case "accept-proxy":
			proxyProtocol = true
		case "name", "id", "process", "thread", "shards", "level", "mode", "user", "group", "uid", "gid", "proto":
			i++ // skips the value
		case "interface", "maxconn", "backlog", "mss", "tcp-ut", "nice", "namespace", "tcp-md5sig":
			unknown = append(unknown, word)
			i++
		default:
			unknown = append(unknown, word)
		}
	}
	if len(unknown) > 0 {
		m.lost(s.line, "bind "+strings.Join(unknown, " "), "a service has addresses and a port only")
	}
	return proxyProtocol
}
