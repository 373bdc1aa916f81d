package plan

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A host that was built by the original system's scripts has two traces that the agent's own chain and unit replace: a rule
// at the end of INPUT, and a line in rc.local that adds the rule again at every boot.

const rcLocal = "/etc/rc.local"

// originalRule is the rule that the original system appended for a port, in the format of iptables-save.
func originalRule(port int) string {
	return fmt.Sprintf("-A INPUT -p tcp -m tcp --dport %d -j ACCEPT", port)
}

var originalLine = regexp.MustCompile(`^\s*(?:/usr)?(?:/sbin/)?iptables\s+-A\s+INPUT\s+-p\s+tcp\s+-m\s+tcp\s+--dport\s+(\d+)\s+-j\s+ACCEPT\s*$`)

// withoutOriginal is rc.local without the lines of the original system for these ports, and without the empty line that it
// wrote after each.
func withoutOriginal(data []byte, ports []int) []byte {
	var kept []string
	dropped := false
	for line := range strings.Lines(string(data)) {
		match := originalLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if match != nil {
			if port, err := strconv.Atoi(match[1]); err == nil && slices.Contains(ports, port) {
				dropped = true
				continue
			}
		}
		if dropped && strings.TrimSpace(line) == "" {
			dropped = false
			continue
		}
		dropped = false
		kept = append(kept, line)
	}
	return []byte(strings.Join(kept, ""))
}
