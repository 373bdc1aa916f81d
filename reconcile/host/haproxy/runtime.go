package haproxy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// Runtime sends HAProxy one command of its runtime API (management guide §9.3). The error has HAProxy's words.
func Runtime(ctx context.Context, command string) error {
	if strings.ContainsAny(command, ";\\\n\r") {
		return fmt.Errorf("cannot give haproxy the command %q: it would be more than one", command)
	}
	answer, err := ask(ctx, render.StatsSocket, "set severity-output number;"+command+"\n")
	if err == nil {
		err = refusedBy(answer)
	}
	if err != nil {
		return fmt.Errorf("cannot give haproxy the command %q: %w", command, err)
	}
	return nil
}

// CutSessions closes the connections with a server: in the current worker through its own socket (management guide §9.3,
// "shutdown sessions server"), and in old workers.
func CutSessions(ctx context.Context, masterSocket, backend, server string) error {
	place := backend + "/" + server
	if err := Runtime(ctx, "shutdown sessions server "+place); err != nil {
		return err
	}
	_, err := CutOldSessions(ctx, masterSocket, []string{place})
	return err
}

// CutOldSessions closes the connections with these servers ("backend/server") in old workers, which run no health checks
// any more, through the master's socket (management guide §9.4, "@!pid"). An old worker refuses to close all connections of
// a server at once ("Proxy is disabled."), so each is closed by itself. masterSocket is "" if there is none.
func CutOldSessions(ctx context.Context, masterSocket string, servers []string) (cut int, err error) {
	if masterSocket == "" || len(servers) == 0 {
		return 0, nil
	}
	workers, err := Workers(ctx, masterSocket)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, pid := range workers.Old {
		answer, err := ask(ctx, masterSocket, fmt.Sprintf("@!%d show sess\n", pid))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		// a worker that has exited meanwhile is unknown to the master, and has nothing to close
		sessions := sessionsWith(answer, servers)
		for some := range slices.Chunk(sessions, 500) {
			var commands strings.Builder
			for _, session := range some {
				fmt.Fprintf(&commands, "@!%d shutdown session %s\n", pid, session)
			}
			if _, err := ask(ctx, masterSocket, commands.String()); err != nil {
				errs = append(errs, err)
				continue
			}
			cut += len(some)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return cut, fmt.Errorf("cannot end the connections of old processes of haproxy: %w", err)
	}
	return cut, nil
}

// sessionsWith returns the ids of the sessions with these servers in the answer to "show sess" (management guide §9.3). An
// old worker creates no sessions, so no new session can reuse the id of one that has ended meanwhile.
func sessionsWith(answer string, servers []string) (ids []string) {
	wanted := map[string]bool{}
	for _, server := range servers {
		wanted[server] = true
	}
	for line := range strings.Lines(answer) {
		var id, backend, server string
		for i, field := range strings.Fields(line) {
			switch {
			case i == 0:
				id = strings.TrimSuffix(field, ":")
			case strings.HasPrefix(field, "be="):
				backend = field[len("be="):]
			case strings.HasPrefix(field, "srv="):
				server = field[len("srv="):]
			}
		}
		if wanted[backend+"/"+server] {
			ids = append(ids, id)
		}
	}
	return ids
}

// refusedBy parses the answer to a command that changes something. Each message of HAProxy begins with a syslog severity.
// Warnings (4) and less severe messages report what was done, or that the command is unknown.
func refusedBy(answer string) error {
	for line := range strings.Lines(answer) {
		severity, text, found := strings.Cut(strings.TrimSpace(line), ": ")
		switch done := severity == "[4]" || severity == "[5]" || severity == "[6]"; {
		case strings.TrimSpace(line) == "":
		case !found || !done:
			return errors.New(strings.TrimPrefix(strings.TrimSpace(line), "[3]: "))
		case strings.HasPrefix(text, "Unknown command"):
			return errors.New("this version of HAProxy does not know it")
		}
	}
	return nil
}

// RunningServers asks HAProxy for the servers of all backends: "show servers state" for their settings, the statistics for
// their connections.
func RunningServers(ctx context.Context) ([]host.RunningServer, error) {
	const do = "ask haproxy how its servers run"
	answer, err := ask(ctx, render.StatsSocket, "show servers state;show stat -1 4 -1\n")
	if err != nil {
		return nil, fmt.Errorf("cannot %s: %w", do, err)
	}
	servers, err := parseServers(answer)
	if err != nil {
		return nil, fmt.Errorf("cannot %s: %w", do, err)
	}
	return servers, nil
}

// Bits of HAProxy's srv_admin_state and srv_check_state (management guide §9.3, "show servers state").
const (
	forcedMaint     = 0x01
	configuredMaint = 0x04
	forcedDrain     = 0x08
	checkConfigured = 0x02
	checkEnabled    = 0x04
)

// statColumns is the number of columns of the statistics up to the connection limit (slim).
const statColumns = 7

// parseServers parses the two answers, one after the other.
func parseServers(text string) ([]host.RunningServer, error) {
	states, stats, found := strings.Cut(text, "# pxname")
	if !found {
		return nil, fmt.Errorf("unexpected answer %q", text[:min(len(text), 200)])
	}
	table := func(yield func([]string) bool) { // only the first columns, which are never quoted: names without a comma, and numbers
		for line := range strings.Lines("pxname" + stats) {
			if !yield(strings.SplitN(line, ",", statColumns+1)) {
				return
			}
		}
	}
	type use struct{ sessions, most int }
	uses := map[string]use{}
	number := func(text string) int { n, _ := strconv.Atoi(text); return n } // empty if HAProxy has no limit
	for get := range byColumn(table) {
		uses[get("pxname")+"/"+get("svname")] = use{number(get("scur")), number(get("slim"))}
	}

	rows := func(yield func([]string) bool) {
		for line := range strings.Lines(states) {
			if words := strings.Fields(strings.TrimPrefix(line, "#")); len(words) > 1 && !yield(words) {
				return
			}
		}
	}
	var all []host.RunningServer
	for get := range byColumn(rows) {
		s := host.RunningServer{Backend: get("be_name"), Name: get("srv_name"), Weight: number(get("srv_uweight"))}
		if s.Name == "" {
			return nil, fmt.Errorf("unexpected answer %q", states[:min(len(states), 200)])
		}
		switch addr, err := netip.ParseAddr(get("srv_addr")); {
		case err == nil:
			s.Addr = netip.AddrPortFrom(addr.Unmap(), uint16(number(get("srv_port"))))
		case get("srv_fqdn") == "-": // HAProxy's own, of a proxy that 2.2 and 2.4 call MASTER: neither an address nor a name
			continue
		}
		admin, check := number(get("srv_admin_state")), number(get("srv_check_state"))
		switch {
		case admin&(forcedMaint|configuredMaint) != 0:
			s.Admin = host.AdminMaint
		case admin&forcedDrain != 0:
			s.Admin = host.AdminDrain
		default:
			s.Admin = host.AdminReady
		}
		s.CheckOff = check&checkConfigured != 0 && check&checkEnabled == 0
		u := uses[s.Backend+"/"+s.Name]
		s.Sessions, s.MaxConnections = u.sessions, u.most
		all = append(all, s)
	}
	return all, nil
}
