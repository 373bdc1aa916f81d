// Package model tests the failover logic in a simulation: the agents of two hosts run the real failover.Failover on a
// simulated LAN with simulated keepalived, HAProxy and systemd. All of it runs in a testing/synctest bubble, where a
// minute takes some milliseconds. Random schedules of faults are made from a seed. The result is judged by which hosts
// held the virtual IP, as hack/lab/chaos judges real hosts.
//
//   - world is the clock, the random numbers and the story of one run.
//   - lan delays, loses, reorders and blocks frames.
//   - machine is a host: its kernel, its systemd, its stalls and crashes. haproxy, keepalived and router run on it.
//   - agent is one process of the agent on a host: the failover.Host of a real failover.Failover.
//   - command is the host.Host of processes that change a host: the real reconciler, which brings edits of the virtual router
//     into force and drains, and the real failover.Rejoin (rejoin, edits, drain).
//   - client is a neighbour that uses the virtual IP, and device is a machine that answers for it by mistake.
//   - faults and edits are the events and the costs that they may have. schedule draws them, and check judges the result.
//
// The model does not contain: the queries to a real machine (reconcile/host/debian), edits of anything but the router id, the
// loop of the daemon (rejoin.go has a small version of it, keep), connections and drain --wait, IPv6, and late timers of an
// agent that makes no call at that moment: a stall stops the agent only at its next call.
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

// world is the clock, the random numbers and the story of one run. Each part of the simulation holds the lock while it
// runs. No goroutine sleeps while it holds the lock.
type world struct {
	sync.Mutex
	seed    uint64
	began   time.Time
	streams map[string]*rand.Rand
	story   []string

	processes sync.WaitGroup // all processes of the hosts, including killed ones
}

func newWorld(seed uint64) *world {
	return &world{seed: seed, began: time.Now(), streams: map[string]*rand.Rand{}}
}

// random returns the stream of random numbers for a purpose. Separate streams ensure that one more number for one purpose does
// not change the numbers for another.
func (w *world) random(purpose string) *rand.Rand {
	if w.streams[purpose] == nil {
		hash := fnv.New64a()
		_, _ = io.WriteString(hash, purpose) // it never fails
		w.streams[purpose] = rand.New(rand.NewPCG(w.seed, hash.Sum64()))
	}
	return w.streams[purpose]
}

// within returns a random duration. Its resolution is so fine that two events are hardly ever simultaneous.
func (w *world) within(purpose string, least, most time.Duration) time.Duration {
	return least + time.Duration(w.random(purpose).Float64()*float64(most-least))
}

// after runs do later with the lock held, unless the timer is stopped.
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

// teller is a log that adds its lines to the story.
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

// Write adds a line. The agent never logs while it holds the world's lock.
func (t teller) Write(line []byte) (int, error) {
	t.Lock()
	defer t.Unlock()
	t.tell("%s agent: %s", t.who, bytes.TrimPrefix(bytes.TrimSpace(line), []byte("msg=")))
	return len(line), nil
}

// pause sleeps for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
