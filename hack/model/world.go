// Package model is the failover logic as a model: the agents of two hosts, which are the real failover.Failover, on a
// simulated LAN with simulated keepalived, HAProxy and systemd. All of it runs in a testing/synctest bubble, where a
// minute takes some milliseconds. Random schedules of faults are made from a seed, and what came of them is judged by
// who held the virtual IP, as hack/lab/chaos judges real hosts.
//
//   - world is the clock, the random numbers and the story of one run.
//   - lan delays, loses and reorders frames, and is cut.
//   - machine is a host: its kernel, its systemd, what stalls and crashes. haproxy, keepalived and router run on it.
//   - agent is one run of the agent there: it is the failover.Host of a real failover.Failover.
//   - command is the host.Host of what changes a host: the real reconciler, which brings edits of the virtual router into
//     force, drains, and the real failover.Rejoin (rejoin, edits, drain).
//   - client is who looks for the virtual IP, and device is who answers for it by mistake.
//   - faults and edits are what happens, and what it may cost; schedule draws them; check judges.
//
// What is not in the model: how a real machine is asked (reconcile/host/debian), edits of anything else than the router id,
// the loop of the daemon (rejoin, keep), connections and drain --wait, IPv6, and a timer of the agent that comes late
// although the agent calls nothing at that moment: a stall holds it at its next call.
package model

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// world is the clock, the random numbers and the story of one run. Its lock is held by whatever of the simulation
// runs; nobody sleeps while holding it.
type world struct {
	sync.Mutex
	seed    uint64
	began   time.Time
	streams map[string]*rand.Rand
	story   []string

	processes sync.WaitGroup // of the hosts, those that were killed too
}

func newWorld(seed uint64) *world {
	return &world{seed: seed, began: time.Now(), streams: map[string]*rand.Rand{}}
}

// random is a stream of random numbers of its own for each purpose, so that one more number here changes nothing there.
func (w *world) random(purpose string) *rand.Rand {
	if w.streams[purpose] == nil {
		hash := fnv.New64a()
		_, _ = io.WriteString(hash, purpose) // it never fails
		w.streams[purpose] = rand.New(rand.NewPCG(w.seed, hash.Sum64()))
	}
	return w.streams[purpose]
}

// within is a random duration, so fine that two events hardly ever fall together.
func (w *world) within(purpose string, least, most time.Duration) time.Duration {
	return least + time.Duration(w.random(purpose).Float64()*float64(most-least))
}

// after does something later, unless it is stopped.
func (w *world) after(d time.Duration, do func()) *time.Timer {
	return time.AfterFunc(d, func() {
		w.Lock()
		defer w.Unlock()
		do()
	})
}

// tell adds a line to the story.
func (w *world) tell(format string, args ...any) {
	at := time.Since(w.began)
	w.story = append(w.story, fmt.Sprintf("%9.1f ms  %s", float64(at.Microseconds())/1000, fmt.Sprintf(format, args...)))
}

// teller is a log whose lines become part of the story.
type teller struct {
	*world
	who string
}

func (t teller) logger() *slog.Logger {
	plain := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}
	return slog.New(slog.NewTextHandler(t, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: plain}))
}

// Write hears a line. The agent logs while it holds nothing of the world.
func (t teller) Write(line []byte) (int, error) {
	t.Lock()
	defer t.Unlock()
	t.tell("%s agent: %s", t.who, bytes.TrimPrefix(bytes.TrimSpace(line), []byte("msg=")))
	return len(line), nil
}

// pause sleeps, or ends with ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
