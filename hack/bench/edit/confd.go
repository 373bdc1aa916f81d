package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// Files for confd: the agent's rendered file with one variable value; HAProxy checks the file before it is installed.
const (
	confdValues   = "/etc/rlb-values.yaml"
	confdResource = `[template]
src = "haproxy.cfg.tmpl"
dest = "/etc/haproxy/haproxy.cfg"
keys = ["/maxconn"]
check_cmd = "haproxy -c -f {{.src}}"
reload_cmd = "systemctl reload haproxy"
`
	confdUnit = `[Service]
ExecStart=/usr/local/bin/confd -backend file -file ` + confdValues + ` -watch
`
)

// confd is an edit of a value that confd watches. confd renders, checks and reloads, and verifies nothing.
var confd = kind{"confd: reload (maxConnections)",
	confdValues,
	func(n int) string { return fmt.Sprintf("maxconn: \"%d\"\n", 4000+n%2) },
	func(h *lab.Host, n int) bool {
		return strings.Contains(ask(h, "show info"), fmt.Sprintf("\nMaxconn: %d\n", 4000+n%2))
	},
}

// startConfd makes confd manage HAProxy's file instead of the agent.
func startConfd(ctx context.Context, h *lab.Host, program string) error {
	data, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	rendered, err := h.Sh(ctx, "systemctl stop rlb-agent; cat /etc/haproxy/haproxy.cfg")
	if err != nil {
		return err
	}
	var template strings.Builder
	for line := range strings.Lines(rendered) {
		if words := strings.Fields(line); len(words) == 2 && words[0] == "maxconn" && !strings.Contains(template.String(), "getv") { // the global one
			line = "    maxconn {{getv \"/maxconn\"}}\n"
		}
		template.WriteString(line)
	}
	for path, text := range map[string]string{
		"/usr/local/bin/confd": string(data), "/etc/systemd/system/confd.service": confdUnit, confdValues: confd.spec(1),
		"/etc/confd/conf.d/haproxy.toml": confdResource, "/etc/confd/templates/haproxy.cfg.tmpl": template.String(),
	} {
		if err := h.WriteFile(path, []byte(text), 0o755); err != nil {
			return err
		}
	}
	if _, err := h.Sh(ctx, "systemctl daemon-reload; systemctl start confd"); err != nil {
		return err
	}
	return lab.Until(ctx, 10*time.Second, func() bool { return confd.live(h, 1) })
}
