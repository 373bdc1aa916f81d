package debian

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

const (
	healthPatience = 200 * time.Millisecond // after which the stats socket is asked too
	statsPatience  = 250 * time.Millisecond // after which HAProxy hangs: both together are longer than a busy machine stalls
	stallGrace     = 100 * time.Millisecond // more, where it was this process that was kept waiting
	busyPatience   = 3 * time.Second        // after which a HAProxy that works, or waits for a core, and does not answer hangs too
)

// question is the probe's. HAProxy answers it itself.
const question = "GET / HTTP/1.0\r\n\r\n"

// HAProxyAnswers says whether HAProxy answers at once, as one that is well does. That it does not says nothing yet.
func (h *Host) HAProxyAnswers() bool { return askQuickly(render.HealthSocket, question) }

// ProbeHAProxy asks HAProxy whether it accepts and answers, on its health frontend, which leads to no server. At its
// limit of connections that says nothing while the stats socket still answers: full is not hung, or any client could
// move the virtual IPs. Where nobody listens the state is unknown. In haste, one that is silent on both sockets while it
// has no use for a core and this process has its own hangs after 120 ms; all else is asked with the usual patience then.
func (h *Host) ProbeHAProxy(ctx context.Context, haste bool) host.HAProxyState {
	if haste {
		if state := h.probeHastily(ctx); state != "" {
			return state
		}
	}
	for begin := time.Now(); ; {
		state := probe(ctx, render.HealthSocket, render.StatsSocket)
		if state != host.HAProxyHung || time.Since(begin) > busyPatience || !h.runnable(ctx, host.HAProxyUnit, "R") {
			return state
		}
	}
}

func (h *Host) probeHastily(ctx context.Context) host.HAProxyState {
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	return judgeHastily(ctx, firstByte(asking, render.HealthSocket, question), firstByte(asking, render.StatsSocket, "show info\n"), func() bool {
		return !h.runnable(ctx, host.HAProxyUnit, "RD")
	})
}

// judgeHastily is "" where the answers, or the lack of them, do not prove anything in a short time.
func judgeHastily(ctx context.Context, health, stats <-chan error, idle func() bool) host.HAProxyState {
	tick := time.NewTicker(patienceTick)
	defer tick.Stop()
	answered := false
	for silence := newPatience(time.Now(), hastyPatience); ; {
		select {
		case err := <-health:
			if err != nil {
				return ""
			}
			return host.HAProxyAnswers
		case <-stats:
			answered, stats = true, nil
		case <-ctx.Done():
			return host.HAProxyUnknown
		case <-tick.C:
			switch {
			case !silence.over(time.Now()):
			case !answered && idle():
				return host.HAProxyHung
			default:
				return ""
			}
		}
	}
}

// runnable says whether a thread of a unit is in one of these states (proc_pid_stat(5)): R is that it runs on a core or
// waits for one, D that it waits for a disk. Then it is busy, and not stopped or stuck.
func (h *Host) runnable(ctx context.Context, unit, states string) bool {
	state, err := h.Unit(ctx, unit)
	if err != nil || state.MainPID == 0 {
		return false
	}
	children, _ := h.children(state.MainPID)
	return h.anyIn(states, append(children, state.MainPID)...)
}

// anyIn says whether a thread of one of these processes is in one of these states.
func (h *Host) anyIn(states string, pids ...int) bool {
	for _, pid := range pids {
		threads, _ := filepath.Glob(filepath.Join(h.proc, strconv.Itoa(pid), "task", "*", "stat"))
		for _, path := range threads {
			if fields := procStat(path); len(fields) > 0 && strings.Contains(states, fields[0]) {
				return true
			}
		}
	}
	return false
}

func probe(ctx context.Context, healthSocket, statsSocket string) host.HAProxyState {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	health := firstByte(ctx, healthSocket, question)
	err, told := await(health, nil, healthPatience)
	switch {
	case told && err == nil:
		return host.HAProxyAnswers
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), ctx.Err() != nil:
		return host.HAProxyUnknown
	case told:
		health = nil // its backlog is full, or it was cut: the other one says why
	}
	err, told = await(firstByte(ctx, statsSocket, "show info\n"), health, statsPatience)
	switch {
	case !told && ctx.Err() != nil:
		return host.HAProxyUnknown
	case !told:
		return host.HAProxyHung
	case errors.Is(err, errOther):
		return host.HAProxyAnswers
	case err != nil:
		return host.HAProxyHung
	}
	return host.HAProxyFull
}

// errOther says that the other one answered.
var errOther = errors.New("the other one answered")

// await waits for an answer, or for a good one of the other. A wait that ended late ended for a process that was kept
// from its core: an answer may just be there.
func await(answer, other <-chan error, patience time.Duration) (err error, told bool) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for begin := time.Now(); ; {
		select {
		case err := <-answer:
			return err, true
		case err := <-other:
			if other = nil; err == nil {
				return errOther, true
			}
		case <-timer.C:
			if time.Since(begin) < patience+stallGrace/2 || patience == stallGrace {
				return nil, false
			}
			begin, patience = time.Now(), stallGrace
			timer.Reset(patience)
		}
	}
}

// firstByte is nil as soon as somebody answers a question at a socket.
func firstByte(ctx context.Context, path, question string) <-chan error {
	result := make(chan error, 1)
	go func() { result <- readByte(ctx, path, question) }()
	return result
}

func readByte(ctx context.Context, path, question string) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // one byte was all
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := io.WriteString(conn, question); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, 1))
	return err
}

// TellKeepalived writes the guard's word where keepalived tracks it. It is written in place: keepalived reads it when it
// is closed, and a file that a crash left empty says the same as none.
func (h *Host) TellKeepalived(fault bool) error {
	return h.effect(fmt.Sprintf("TellKeepalived %t", fault), func() error {
		if err := os.MkdirAll(filepath.Dir(render.FaultFile), 0o755); err != nil {
			return wrap("tell keepalived", err)
		}
		if err := os.WriteFile(render.FaultFile, []byte(render.TrackedText(fault)), 0o644); err != nil {
			return wrap("tell keepalived", err)
		}
		return nil
	})
}
