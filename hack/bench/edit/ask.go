package main

import (
	"io"
	"net"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/render"
)

// ask asks the host's HAProxy, or answers "" where it does not answer.
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
