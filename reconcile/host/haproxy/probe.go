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
	healthPatience = 200 * time.Millisecond // then the stats socket is asked too
	statsPatience  = 250 * time.Millisecond // then HAProxy is hung: both together are longer than a busy machine stalls
	stallGrace     = 100 * time.Millisecond // extra time if this process itself was stalled
	lastLook       = 20 * time.Millisecond  // for an answer that arrived while idle was being determined
	busyPatience   = 3 * time.Second        // then a HAProxy that works, or waits for a core, and does not answer is hung too
)

// question is the request of the probe. HAProxy answers it itself.
const question = "GET / HTTP/1.0\r\n\r\n"

// AnswersAtOnce says whether HAProxy answers at once, as a healthy one does. False proves nothing yet.
func AnswersAtOnce() bool { return askQuickly(render.HealthSocket, question) }

// servesPatience is how long Serves waits for an answer.
const servesPatience = 150 * time.Millisecond

// Serves says whether HAProxy answers on its runtime API within 150 ms. A HAProxy at its connection limit does.
func Serves(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err, answered := await(firstByte(ctx, render.StatsSocket, "show info\n"), nil, servesPatience)
	return answered && err == nil
}

// Probe asks HAProxy's health frontend, which leads to no server, whether HAProxy accepts and answers. At the connection
// limit the frontend is silent while the stats socket still answers: HAProxy is then full, not hung; otherwise any client
// could move the virtual IPs. If nothing listens, the state is unknown. A silent HAProxy is hung if idle says that it
// neither runs nor waits for a core, and no answer has arrived in the meantime. A busy one is hung after 3 s.
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

// busy is the state of a HAProxy that does not answer and is not known to be idle.
const busy host.HAProxyState = "busy"

// ProbeHastily returns hung for a HAProxy that is silent on both sockets already after patience.Hasty, if idle then says
// that it neither runs nor waits for a core or a disk. It returns "" if that proves nothing: Probe has the usual time
// limits.
func ProbeHastily(ctx context.Context, idle func() bool) host.HAProxyState {
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	return judgeHastily(ctx, firstByte(asking, render.HealthSocket, question), firstByte(asking, render.StatsSocket, "show info\n"), idle)
}

// judgeHastily returns "" if the answers, or the lack of them, prove nothing in this short time.
func judgeHastily(ctx context.Context, health, stats <-chan error, idle func() bool) host.HAProxyState {
	tick := time.NewTicker(patience.Tick)
	defer tick.Stop()
	answered := false
	var last <-chan time.Time // the end of the last wait for an answer; nil until HAProxy was seen idle
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

// probe asks once. It returns busy if HAProxy is silent or refuses, and idle is false.
func probe(ctx context.Context, healthSocket, statsSocket string, idle func() bool) host.HAProxyState {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	health := firstByte(ctx, healthSocket, question)
	err, answered := await(health, nil, healthPatience)
	switch {
	case answered && err == nil:
		return host.HAProxyAnswers
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), ctx.Err() != nil:
		return host.HAProxyUnknown
	case answered:
		health = nil // its backlog is full, or the connection was closed: the stats socket tells why
	}
	stats := firstByte(ctx, statsSocket, "show info\n")
	if err, answered = await(stats, health, statsPatience); !answered && ctx.Err() == nil {
		if !idle() {
			return busy
		}
		err, answered = await(stats, health, lastLook)
	}
	switch {
	case !answered && ctx.Err() != nil:
		return host.HAProxyUnknown
	case !answered:
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

// errOther says that the other socket answered.
var errOther = errors.New("the other one answered")

// await waits for an answer, or for a successful answer of the other socket. A late timer means that this process did not
// get a core: an answer may already be there.
func await(answer, other <-chan error, patience time.Duration) (err error, answered bool) {
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

// firstByte sends nil as soon as a program answers the question at the socket.
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
