package render

import (
	"strconv"
	"strings"
)

// Version is a program's version, as Debian or the program itself writes it: "2.6.12-1+deb12u4", "1:2.2.7-1+b2".
type Version string

// gates has the first version of a program that supports a feature. Below that version the directive is left out, or
// written in its older form (in brackets). Source: the programs' own manuals at their tags.
var gates = struct {
	haproxyStatusList   [3]int // http-check expect status A,B (before: rstatus with a pattern)
	haproxyCheckSend    [3]int // http-check send (before: headers at the end of option httpchk)
	haproxyKeepAlive    [3]int // clitcpka-idle and the like (since 2.3)
	haproxyExporter     [3]int // http-request use-service prometheus-exporter
	haproxyWrongStatus  [3]int // http-check expect error-status L7OKC (its own manual has it from 2.2 on, the program from 2.4)
	haproxyBearsNoRoute [3]int // resolvers: HAProxy starts without a route to a nameserver
	haproxyLiveServers  [3]int // runtime API: add server, del server (experimental in 2.4 and 2.5)
	haproxyOwnNames     [3]int // all proxies and resolvers need different names (3.1 and 3.2 warn, 3.3 refuses)
	haproxyInitState    [3]int // server: init-state
	haproxyFewReloads   [3]int // mworker-max-reloads is 50 by default (before: no limit)
	keepalivedAutoPrio  [3]int // global_defs: max_auto_priority
	keepalivedTrackFile [3]int // track_file (before: vrrp_track_file)
}{
	haproxyStatusList:   [3]int{2, 2, 0},
	haproxyCheckSend:    [3]int{2, 2, 0},
	haproxyKeepAlive:    [3]int{2, 4, 0},
	haproxyExporter:     [3]int{2, 2, 0},
	haproxyWrongStatus:  [3]int{2, 4, 0},
	haproxyBearsNoRoute: [3]int{2, 6, 0},
	haproxyLiveServers:  [3]int{2, 6, 0},
	haproxyOwnNames:     [3]int{3, 1, 0},
	haproxyInitState:    [3]int{3, 2, 0},
	haproxyFewReloads:   [3]int{3, 3, 0},
	keepalivedAutoPrio:  [3]int{2, 1, 0},
	keepalivedTrackFile: [3]int{2, 1, 0},
}

// ChangesServers reports whether HAProxy of this version can add and delete servers while it runs.
func (v Version) ChangesServers() bool { return v.atLeast(gates.haproxyLiveServers) }

// KeepsOnWrongStatus reports whether HAProxy of this version can keep a server's connections while the server answers
// health checks with a wrong status (healthCheck.cutAfter).
func (v Version) KeepsOnWrongStatus() bool { return v.atLeast(gates.haproxyWrongStatus) }

// atLeast compares the leading numbers of the version, without Debian's epoch. An empty version counts as the newest.
func (v Version) atLeast(want [3]int) bool {
	if v == "" {
		return true
	}
	text := string(v)
	if _, after, found := strings.Cut(text, ":"); found {
		text = after
	}
	parts := strings.SplitN(text, ".", 3)
	for i := range want {
		number := 0
		if i < len(parts) {
			number = leadingNumber(parts[i])
		}
		if number != want[i] {
			return number > want[i]
		}
	}
	return true
}

func leadingNumber(text string) int {
	digits := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(text)
	}
	number, _ := strconv.Atoi(text[:digits])
	return number
}
