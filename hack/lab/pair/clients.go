package pair

import (
	"context"
	"errors"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// Clients are what is done at the virtual IP while it moves: new connections, half-open ones, whose third packet is late,
// and long and quiet ones. The client must hold ACKs (lab.Client.HoldACKs).
type Clients struct {
	new, half *lab.Probe
	quiet     []*lab.LongConn
}

// ClientOptions say how many there are.
type ClientOptions struct {
	Target string        // of the half-open and the quiet ones
	Light  string        // of the new ones, a service that leads to lab.NamePort; "" is Target
	Every  time.Duration // between two new ones
	Half   time.Duration // between two half-open ones
	Quiet  int           // quiet ones, which are opened before the others
}

// lateBy is how late the third packet of a half-open connection is.
const lateBy = 300 * time.Millisecond

// StartClients begins. They are all there when it returns.
func StartClients(ctx context.Context, client *lab.Client, o ClientOptions) (c *Clients, err error) {
	c = new(Clients)
	for range o.Quiet {
		conn, err := client.LongConn(ctx, o.Target)
		if err != nil {
			c.End()
			return nil, err
		}
		c.quiet = append(c.quiet, conn)
	}
	light := lab.ProbeOptions{Interval: o.Every, Timeout: time.Second, Name: o.Light != ""}
	if o.Light == "" {
		o.Light = o.Target
	}
	c.new, err = client.Probe(o.Light, light)
	if err == nil {
		c.half, err = client.Probe(o.Target, lab.ProbeOptions{Interval: o.Half, Timeout: time.Second, HalfOpen: lateBy})
	}
	if err != nil {
		c.End()
		return nil, err
	}
	time.Sleep(lateBy + 100*time.Millisecond) // in which there are half-open ones
	return c, nil
}

// Served waits until n new ones in a row were served that began after now, at most for the time.
func (c *Clients) Served(ctx context.Context, n int, within time.Duration) error {
	since := time.Now()
	return lab.Until(ctx, within, func() bool { return c.new.Streak(since) >= n })
}

// Stop ends the new and the half-open ones, and waits for those that are under way.
func (c *Clients) Stop() (new, half lab.Report) { return c.new.Stop(), c.half.Stop() }

// Quiet counts the quiet ones that were told of their end, by a reset or otherwise, and those that find out only when they
// send something. All others go on.
func (c *Clients) Quiet() (told, stalled int) {
	var silent []*lab.LongConn
	for _, conn := range c.quiet {
		if _, cut, _ := conn.Cut(); cut {
			told++
			continue
		}
		silent = append(silent, conn)
		conn.Poke()
	}
	if len(silent) == 0 {
		return told, 0
	}
	time.Sleep(500 * time.Millisecond) // for an answer that says that the other end is gone
	for _, conn := range silent {
		if _, cut, _ := conn.Cut(); cut {
			stalled++
		}
	}
	return told, stalled
}

// End ends all of them.
func (c *Clients) End() {
	for _, p := range []*lab.Probe{c.new, c.half} {
		if p != nil {
			p.Stop()
		}
	}
	var errs []error
	for _, conn := range c.quiet {
		errs = append(errs, conn.Close())
	}
	_ = errors.Join(errs...) // they may have ended
}
