package failover

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// keepalived is a fake keepalived that tests start and kill, with a vrrpProcess that monitors it.
type keepalived struct {
	Host // nil: vrrpProcess does not call the other methods
	stage
	t        *testing.T
	vrrp     *vrrpProcess
	state    string     // ActiveState
	pid      int        // PID of the main process
	child    chan error // receives the end of the VRRP process; nil if no VRRP process exists
	hastened []int      // main processes of the HastenVRRP calls
	stopped  int        // PID of the suspended main process; 0 if there is none
	kills    int
	log      bytes.Buffer
}

func (k *keepalived) Unit(_ context.Context, name string) (host.Unit, error) {
	k.Lock()
	defer k.Unlock()
	if name != host.KeepalivedUnit {
		return host.Unit{}, errors.New("not keepalived's unit")
	}
	return host.Unit{ActiveState: k.state, MainPID: k.pid}, nil
}

func (k *keepalived) HastenVRRP(_ context.Context, pid int) error {
	k.do(func() { k.hastened = append(k.hastened, pid) })
	return errors.New("not permitted")
}

func (k *keepalived) KillUnit(context.Context, string) error {
	k.Lock()
	defer k.Unlock()
	if k.kills++; k.stopped != k.pid {
		k.t.Error("it was not suspended at once")
	}
	k.state, k.pid, k.stopped = "failed", 0, 0
	return nil
}

func (k *keepalived) Suspend(pid int) error {
	k.do(func() { k.stopped = pid })
	return nil
}

func (k *keepalived) Resume(pid int) error {
	k.Lock()
	defer k.Unlock()
	if k.stopped == pid {
		k.stopped = 0
	}
	return nil
}

func (k *keepalived) AwaitChildEnd(ctx context.Context, _ int, then func()) error {
	var child chan error
	k.do(func() { child = k.child })
	if child == nil {
		return errors.New("it has none")
	}
	select {
	case err := <-child:
		if err == nil {
			then()
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// starts starts keepalived, with a new VRRP process or with the given one, which may be nil.
func (k *keepalived) starts(pid int, child ...chan error) {
	k.state, k.pid, k.child = "active", pid, append(child, make(chan error))[0]
	give(&k.stage, k.vrrp.units, "active")
}

func (k *keepalived) stops() {
	k.state = "deactivating"
	give(&k.stage, k.vrrp.units, "deactivating")
}

func (k *keepalived) vrrpDies() {
	k.t.Helper()
	began := time.Now()
	if give(&k.stage, k.child, nil); time.Since(began) > 0 {
		k.t.Errorf("its end was seen after %v", time.Since(began))
	}
}

func withKeepalived(t *testing.T, tracks bool, do func(*keepalived)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		k := &keepalived{t: t}
		k.vrrp = newVRRPProcess(k, slog.New(slog.NewTextHandler(locked{&k.stage, &k.log}, nil)))
		ended := make(chan bool)
		go func() { k.vrrp.run(ctx); close(ended) }()
		k.Lock()
		give(&k.stage, k.vrrp.force, state.InForce{Tracks: tracks})
		k.starts(7)
		do(k)
		k.Unlock()
		cancel()
		<-ended
	})
}

// TestVRRPProcessDiesAlone: if the VRRP process dies, the rest of keepalived is killed once. The next keepalived is watched
// too.
func TestVRRPProcessDiesAlone(t *testing.T) {
	withKeepalived(t, true, func(k *keepalived) {
		for i := range 3 {
			if k.vrrpDies(); k.kills != i+1 {
				t.Errorf("killed %d times", k.kills)
			}
			k.pass(time.Minute)
			k.starts(8 + i)
			k.pass(time.Minute)
		}
		if k.kills != 3 || strings.Count(k.log.String(), "VRRP process died") != 3 {
			t.Errorf("killed %d times: %s", k.kills, k.log.String())
		}
	})
}

// TestVRRPProcessEnds: if the VRRP process ends because keepalived is stopped, restarted or killed, nothing is killed.
func TestVRRPProcessEnds(t *testing.T) {
	for name, end := range map[string]func(*keepalived){
		"stopped": func(k *keepalived) { k.stops(); k.vrrpDies(); k.starts(8) },
		"killed":  func(k *keepalived) { k.state, k.pid = "failed", 0; k.vrrpDies(); k.starts(8) },
		"restarted": func(k *keepalived) { // the new keepalived starts before the end of the former VRRP process is seen
			former := k.child
			k.starts(8)
			give(&k.stage, former, nil)
		},
	} {
		withKeepalived(t, true, func(k *keepalived) {
			if end(k); k.kills > 0 || k.stopped != 0 {
				t.Errorf("%s: killed %d times, process %d is suspended", name, k.kills, k.stopped)
			}
			if k.vrrpDies(); k.kills != 1 {
				t.Errorf("%s: the next one is not watched", name)
			}
		})
	}
	withKeepalived(t, false, func(k *keepalived) { // with the profile classic, keepalived is neither killed nor hastened
		k.pass(time.Minute)
		if k.kills > 0 || len(k.hastened) > 0 {
			t.Errorf("killed %d times, hastened %v", k.kills, k.hastened)
		}
	})
}

// TestVRRPProcessComesLateAgain: after many starts of keepalived within a minute, the VRRP process is still watched soon.
func TestVRRPProcessComesLateAgain(t *testing.T) {
	withKeepalived(t, true, func(k *keepalived) {
		k.vrrpDies()
		for i := range 8 {
			k.starts(8+i, nil)
			k.pass(10 * time.Millisecond)
			k.child = make(chan error)
			k.pass(60 * time.Millisecond)
			if k.vrrpDies(); k.kills != i+2 {
				t.Fatalf("start %d: its VRRP process is not watched after 70 ms", i+1)
			}
			k.pass(time.Second)
		}
	})
}

// TestVRRPProcessComesLate: a VRRP process that starts later than the main process is watched too, after only a few
// queries.
func TestVRRPProcessComesLate(t *testing.T) {
	withKeepalived(t, true, func(k *keepalived) {
		k.stops()
		k.vrrpDies()
		k.hastened = nil
		k.starts(8, nil)
		k.pass(300 * time.Millisecond)
		k.child = make(chan error)
		k.pass(300 * time.Millisecond)
		if k.vrrpDies(); k.kills != 1 {
			t.Error("it is not watched")
		}
		if n := len(k.hastened); n < 2 || n > 6 || strings.Count(k.log.String(), "may be late") != 1 {
			t.Errorf("hastened %v: %s", k.hastened, k.log.String())
		}
	})
}
