package main

import (
	"io"
	"net"
	"strings"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/render"
)

// ask sends a command to the host's HAProxy, and returns its answer; "" without an answer.
func ask(h *lab.Host, question string) string {
	conn, err := net.DialTimeout("unix", inside(h, render.StatsSocket), time.Second)
	if err != nil {
		return ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := io.WriteString(conn, question+"\n"); err != nil {
		return ""
	}
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

// inRotation reports whether HAProxy has a server, and whether its administrative state, with no bit set, permits
// new connections (HAProxy management guide, "show servers state"). known is false if HAProxy does not answer.
func inRotation(h *lab.Host, backend, server string) (serves, known bool) {
	answer := ask(h, "show servers state "+backend)
	for line := range strings.Lines(answer) {
		// be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state …
		if fields := strings.Fields(line); len(fields) > 6 && fields[3] == server {
			return fields[6] == "0", true
		}
	}
	return false, strings.Contains(answer, "srv_admin_state")
}
