package render

import (
	"fmt"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/api"
)

// Rehearsal returns a haproxy.cfg for a second process beside the real one. It has the same servers and health checks,
// but nothing that serves, logs, or uses a socket or file of the real process. socket is the path of its stats socket.
func Rehearsal(f File, socket string) []byte {
	var b strings.Builder
	keep := true
	for line := range strings.Lines(string(f.Data)) {
		words := append(strings.Fields(line), "")
		if api.IsSection(words[0]) {
			keep = !slices.Contains([]string{"frontend", "listen", "peers", "program", "ring", "mailers", "log-forward"}, words[0])
		}
		switch words[0] {
		case "bind", "log", "stats", "daemon", "pidfile", "master-worker", "hard-stop-after", "server-state-file", "email-alert":
			continue
		case "stick-table": // HAProxy does not start without the section of the peers
			if i := slices.Index(words, "peers"); i > 0 && i+1 < len(words) {
				line = "    " + strings.Join(slices.Delete(words, i, i+2), " ") + "\n"
			}
		}
		if keep {
			b.WriteString(line)
		}
		if words[0] == "global" {
			fmt.Fprintf(&b, "    stats socket %s mode 600 level user\n", socket)
		}
	}
	// Without a listener HAProxy does not start.
	fmt.Fprintf(&b, "frontend rlb:rehearsal\n    bind unix@%s.none mode 600\n", socket)
	return []byte(b.String())
}
