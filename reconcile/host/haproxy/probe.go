package haproxy

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"syscall"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/patience"
	"rlb.dev/rlb-agent/render"
)

const (
	healthPatience = 200 * time.Millisecond // after which the stats socket is asked too
	statsPatience  = 250 * time.Millisecond // after which HAProxy hangs: both together are longer than a busy machine stalls
	stallGrace     = 100 * time.Millisecond // more, where it was this process that was kept waiting
	lastLook       = 20 * time.Millisecond  // for an answer that came while it was asked whether HAProxy is idle
	busyPatience   = 3 * time.Second        // after which a HAProxy that works, or waits for a core, and does not answer hangs too
)

// question is the probe's. HAProxy answers it itself.
const question = "GET / HTTP/1.0\r\n\r\n"

// AnswersAtOnce says whether HAProxy answers at once, as one that is well does. That it does not says nothing yet.
func AnswersAtOnce() bool { return askQuickly(render.HealthSocket, question) }

// servesPatience is how long Serves waits for an answer.
const servesPatience = 150 * time.Millisecond

// Serves says whether HAProxy answers on its runtime API within 150 ms. One that is at its limit of connections does.
func Serves(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err, told := await(firstByte(ctx, render.StatsSocket, "show info\n"), nil, servesPatience)
	return told && err == nil
}

// Probe asks HAProxy whether it accepts and answers, on its health frontend, which leads to no server. At its limit of
// connections that says nothing while the stats socket still answers: full is not hung, or any client could move the
// virtual IPs. Where nobody listens the state is unknown. A silent HAProxy hangs where idle says that it neither runs nor
// waits for a core, and no answer has come by then: it can have answered while idle was being found out. One that is busy
// hangs after 3 s.
func Probe(ctx context.Context, idle func() bool) host.HAProxyState {
	for begin := time.Now(); ; {
		state := probe(ctx, render.HealthSocket, render.StatsSocket, idle)
		if state != busy {
			return state
		}
		if time.Since(begin) > busyPatience {
			return host.HAProxyHung
		}
	}
}

// busy is the state of a HAProxy that does not answer, and is not known to be idle.
const busy host.HAProxyState = "busy"

// ProbeHastily says that a HAProxy which is silent on both sockets hangs after patience.Hasty already, where idle says then
// that it neither runs nor waits for a core or a disk. It is "" where that proves nothing: Probe has the usual patience.
func ProbeHastily(ctx context.Context, idle func() bool) host.HAProxyState {
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	return judgeHastily(ctx, firstByte(asking, render.HealthSocket, question), firstByte(asking, render.StatsSocket, "show info\n"), idle)
}

// judgeHastily is "" where the answers, or the lack of them, do not prove anything in a short time.
func judgeHastily(ctx context.Context, health, stats <-chan error, idle func() bool) host.HAProxyState {
	tick := time.NewTicker(patience.Tick)
	defer tick.Stop()
	answered := false
	var last <-chan time.Time // the end of the last look; nil until HAProxy was seen idle
	for silence := patience.New(time.Now(), patience.Hasty); ; {
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
			case last != nil || !silence.Over(time.Now()):
			case answered || !idle():
				return ""
			default:
				last = time.After(lastLook)
			}
		case <-last:
			if answered {
				return ""
			}
			return host.HAProxyHung
		}
	}
}

// probe asks once. The state is busy where HAProxy is silent, or refuses, and idle does not say that it is idle.
func probe(ctx context.Context, healthSocket, statsSocket string, idle func() bool) host.HAProxyState {
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
	stats := firstByte(ctx, statsSocket, "show info\n")
	if err, told = await(stats, health, statsPatience); !told && ctx.Err() == nil {
		if !idle() {
			return busy
		}
		err, told = await(stats, health, lastLook)
	}
	switch {
	case !told && ctx.Err() != nil:
		return host.HAProxyUnknown
	case !told:
		return host.HAProxyHung
	case errors.Is(err, errOther):
		return host.HAProxyAnswers
	case err == nil:
		return host.HAProxyFull
	case idle():
		return host.HAProxyHung
	}
	return busy
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
