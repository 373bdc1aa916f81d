package render

import (
	"fmt"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/api"
)

// Rehearsal is a rendered haproxy.cfg for a process beside the real one: the same servers with their health checks, but
// nothing that serves, logs or takes a place that the real one has. It tells of itself on a socket at that path.
func Rehearsal(f File, socket string) []byte {
	var b strings.Builder
	keep := true
	for line := range strings.Lines(string(f.Data)) {
		words := append(strings.Fields(line), "")
		if api.IsSection(words[0]) {
			keep = !slices.Contains([]string{"frontend", "listen", "peers", "program", "ring", "mailers", "log-forward"}, words[0])
		}
		switch words[0] {
		case "bind", "log", "stats", "daemon", "pidfile", "master-worker", "hard-stop-after", "server-state-file":
			continue
		}
		if keep {
			b.WriteString(line)
		}
		if words[0] == "global" {
			fmt.Fprintf(&b, "    stats socket %s mode 600 level user\n", socket)
		}
	}
	// without a listener HAProxy does not start
	fmt.Fprintf(&b, "frontend rlb:rehearsal\n    bind unix@%s.none mode 600\n", socket)
	return []byte(b.String())
}
