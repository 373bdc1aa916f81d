package model

import "time"

// haproxy is HAProxy under systemd: Restart=always after 100 ms (haproxy.service; systemd.service(5), RestartSec).
type haproxy struct {
	unit
	running bool // the sockets are open, and the kernel accepts connections
	hung    bool
	kept    bool // a fault keeps HAProxy from starting
}

const haproxyRest = 100 * time.Millisecond

func newHAProxy(m *machine) *haproxy {
	return &haproxy{unit: unit{machine: m, state: "inactive"}}
}

// answers says whether HAProxy serves.
func (h *haproxy) answers() bool { return h.running && !h.hung && h.up && !h.stalled }

func (h *haproxy) start() {
	if h.pid != 0 || h.kept || !h.up {
		return
	}
	h.set("activating")
	h.pid = h.machine.pid()
	pid := h.pid
	h.soon(30*time.Millisecond, 150*time.Millisecond, func() {
		if h.pid != pid {
			return
		}
		h.running, h.hung = true, false
		h.serves()
		h.soon(time.Millisecond, 20*time.Millisecond, func() {
			if h.pid == pid {
				h.set("active")
			}
		})
	})
}

// kill kills HAProxy (SIGKILL).
func (h *haproxy) kill() {
	if h.pid == 0 {
		return
	}
	h.running, h.hung = false, false
	h.serves()
	h.died(haproxyRest, h.start)
}

// keep keeps HAProxy from starting, or lets it start.
func (h *haproxy) keep(out bool) {
	if h.kept = out; !out && h.pid == 0 {
		h.start()
	}
}

// hang stops HAProxy (SIGSTOP), or continues it (SIGCONT).
func (h *haproxy) hang(on bool) {
	h.hung = on && h.running
	h.serves()
}

// gone ends HAProxy together with the host.
func (h *haproxy) gone() {
	h.running, h.hung, h.pid, h.state, h.unit.bells = false, false, 0, "inactive", nil
	h.serves()
}
