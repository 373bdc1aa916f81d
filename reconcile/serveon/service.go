package serveon

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/wake"
	"rlb.dev/rlb-agent/render"
)

const (
	lookEvery = 200 * time.Millisecond // between two counts of the connections
	lookShare = 10                     // counts use at most 1/lookShare of the time, because there may be many connections
	tellEvery = time.Second
	moveTime  = 30 * time.Second // a drain moves the virtual IPs within this time, or the wait ends
	asks      = 5                // how often another holder of the virtual IPs is looked for at the end of a wait
	askTime   = 100 * time.Millisecond
)

// service is one wait.
type service struct {
	host    Host
	log     *slog.Logger
	changed func(state.Waiting)
	bell    chan struct{}
	in      *state.InForce
	addrs   []netip.Addr // virtual IPs whose connections the new holder forwards
	pulse   *pulse
	now     state.Waiting
	empty   int // consecutive counts that found no connection
}

// newService returns the active wait; nil if there is none.
func (k *Keeper) newService(ctx context.Context) (*service, error) {
	wait, err := state.ReadWait(ctx, k.host)
	if err != nil || wait == nil {
		return nil, err
	}
	in, err := state.ReadInForce(ctx, k.host)
	if err != nil || in == nil {
		return nil, err
	}
	former, err := state.ReadWaiting(ctx, k.host)
	if err != nil {
		return nil, err
	}
	s := &service{host: k.host, log: k.log, changed: k.changed, bell: k.bell, in: in, now: state.Waiting{Wait: *wait}}
	if former.On() && former.Began.Equal(wait.Began) {
		s.now, s.now.Wait = former, *wait
	}
	s.addrs = render.HandedOver(in.Spec, in.Interface)
	to, err := targets(ctx, k.host, in, s.addrs)
	if err != nil {
		return nil, err
	}
	s.pulse = &pulse{host: k.host, log: k.log, iface: in.Interface, router: *in.Spec.VRRP.RouterID, targets: to}
	in.Spec = nil // frees the memory of a large spec
	return s, nil
}

// run runs the wait until the wait or ctx ends.
func (s *service) run(ctx context.Context) {
	beating, stop := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer stop()
	if !s.now.Moved.IsZero() { // an earlier keeper began this wait
		if late := time.Since(s.now.Forwarded); late > 0 {
			s.end(ctx, fmt.Sprintf("the agent came back %v too late", late.Round(time.Millisecond)))
			return
		}
		s.pulse.begin(s.now.Forwarded)
	}
	beside.Go(func() { s.pulse.run(beating) })
	for timer := time.NewTimer(0); ; {
		select {
		case <-ctx.Done():
			stop()
			beside.Wait()
			s.pulse.rest()
			s.tell(context.WithoutCancel(ctx), time.Now()) // the next keeper continues from this record
			return
		case <-s.bell:
			if !s.reread(ctx) {
				return
			}
		case <-timer.C:
		}
		looked := time.Now()
		if s.step(ctx) {
			return
		}
		pause := max(lookEvery, lookShare*time.Since(looked))
		if left := time.Until(s.now.Until); left > 0 {
			pause = min(pause, left)
		}
		timer.Reset(pause)
	}
}

// reread reads the record of the wait again. It returns false if the record is gone, because the drain was canceled.
func (s *service) reread(ctx context.Context) bool {
	wait, err := state.ReadWait(ctx, s.host)
	switch {
	case err != nil:
		return true
	case wait == nil:
		s.finish(ctx, "the drain was taken back", 0)
		return false
	case !wait.Began.Equal(s.now.Began): // of another drain: the virtual IPs were here again, unseen
		wake.Up(s.bell)
		return false
	}
	s.now.Wait = *wait
	return true
}

// step checks the virtual IPs and the connections once. over says that the wait has ended.
func (s *service) step(ctx context.Context) (over bool) {
	now := time.Now()
	held, err := s.in.Held(ctx, s.host)
	if err != nil {
		s.log.Debug("cannot see whether the virtual IPs are here", "err", err)
		return false
	}
	moved := !s.now.Moved.IsZero()
	if held && !moved { // no count, so that the move is seen soon however many connections there are
		if now.Sub(s.now.Began) > moveTime {
			s.finish(ctx, "the virtual IPs did not leave this host", 0)
			return true
		}
		return false
	}
	left, err := s.host.CountSessions(ctx, s.addrs, s.in.Ports)
	if err != nil {
		s.log.Debug(err.Error())
		left = max(s.now.Left, 1)
	}
	if s.now.Left = left; left > 0 {
		s.empty = 0
	} else {
		s.empty++
	}
	switch {
	case held:
		s.finish(ctx, fmt.Sprintf("this host holds the virtual IPs again: its %s go on", connections(left)), 0)
		return true
	case !moved:
		s.now.Moved, s.now.First = now, left
		s.pulse.begin(now.Add(render.HeartbeatLife))
		s.log.Info(fmt.Sprintf("serving %s until they end, at most until %s", connections(left), s.now.Until.Format(time.TimeOnly)))
		s.tell(ctx, now)
	case now.After(s.pulse.end()):
		s.end(ctx, "HAProxy did not answer")
		return true
	case s.empty > 1 && now.Sub(s.now.Moved) >= render.ForwardTime:
		s.end(ctx, "")
		return true
	case !now.Before(s.now.Until):
		s.end(ctx, "the deadline has passed")
		return true
	case now.Sub(s.now.Written) >= tellEvery:
		s.tell(ctx, now)
		if now.Sub(s.now.Moved) >= render.ForwardTime {
			if err := s.host.SweepSessions(ctx, s.addrs, s.in.Ports); err != nil {
				s.log.Debug(err.Error())
			}
		}
	}
	return false
}

// end closes the connections that are left if another host holds the virtual IPs. Otherwise it leaves them open, so that
// they go on if the virtual IPs come back to this host.
func (s *service) end(ctx context.Context, why string) {
	elsewhere := false
	for range asks {
		var err error
		if elsewhere, err = s.host.AnyAnswers(ctx, s.in.Interface, s.in.VirtualIPs, askTime); err == nil && elsewhere || ctx.Err() != nil {
			break
		}
	}
	left, err := s.host.CountSessions(ctx, s.addrs, s.in.Ports)
	if err != nil {
		left = s.now.Left
	}
	s.now.First, s.now.Left = max(s.now.First, left), left
	text := fmt.Sprintf("%d of %s ended by themselves", s.now.First-left, connections(s.now.First))
	switch {
	case ctx.Err() != nil:
		return
	case !elsewhere && left > 0:
		s.finish(ctx, fmt.Sprintf("%s: %s; no other host holds the virtual IPs, so that %d stay", why, text, left), 0)
		return
	case why == "":
		text = fmt.Sprintf("all %s have ended", connections(s.now.First))
	default:
		text = fmt.Sprintf("%s: %s, %d closed", why, text, left)
	}
	if _, err := s.host.EndSessions(ctx, s.in.VirtualIPs, s.in.Ports); err != nil {
		s.log.Warn("cannot close the connections that are left: " + err.Error())
	}
	s.finish(ctx, text, left)
}

// finish records how the wait ended and deletes its record in state.WaitFile.
func (s *service) finish(ctx context.Context, text string, closed int) {
	s.now.Text, s.now.Closed = text, closed
	s.log.Info("the wait for connections from before the drain is over: " + text)
	if err := state.ForgetWait(ctx, s.host); err != nil {
		s.log.Warn(err.Error())
	}
	s.tell(ctx, time.Now())
}

// tell writes the state of the wait to its file and calls changed.
func (s *service) tell(ctx context.Context, now time.Time) {
	s.now.Written, s.now.Forwarded = now, s.pulse.end()
	if err := s.now.Write(ctx, s.host); err != nil && ctx.Err() == nil {
		s.log.Warn("cannot note how many connections are left: " + err.Error())
	}
	s.changed(s.now)
}

func connections(n int) string {
	if n == 1 {
		return "1 connection"
	}
	return fmt.Sprintf("%d connections", n)
}
