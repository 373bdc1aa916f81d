package pair

import (
	"context"
	"errors"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// Clients is the load on the virtual IP while it moves: new connections, half-open ones, whose third packet is delayed,
// and long idle ones. The client must hold ACKs (lab.Client.HoldACKs).
type Clients struct {
	new, half *lab.Probe
	quiet     []*lab.LongConn
}

// ClientOptions set the number of connections.
type ClientOptions struct {
	Target string        // of the half-open and the idle ones
	Light  string        // of the new ones: a service that leads to lab.NamePort; "" means Target
	Every  time.Duration // between two new ones
	Half   time.Duration // between two half-open ones
	Quiet  int           // idle ones, which are opened before the others
}

// lateBy is the delay of the third packet of a half-open connection.
const lateBy = 300 * time.Millisecond

// StartClients starts the load. All kinds of connections exist when it returns.
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
	time.Sleep(lateBy + 100*time.Millisecond) // until there are half-open ones
	return c, nil
}

// Served waits until n new connections in a row were served that began after the call; at most for within.
func (c *Clients) Served(ctx context.Context, n int, within time.Duration) error {
	since := time.Now()
	return lab.Until(ctx, within, func() bool { return c.new.Streak(since) >= n })
}

// Stop ends the new and the half-open connections, and waits for those in progress.
func (c *Clients) Stop() (new, half lab.Report) { return c.new.Stop(), c.half.Stop() }

// Quiet counts the idle connections whose end was reported, by a reset or otherwise, and those whose end the client
// notices only when it sends something. All others continue.
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
	time.Sleep(500 * time.Millisecond) // time for an answer that the other end is gone
	for _, conn := range silent {
		if _, cut, _ := conn.Cut(); cut {
			stalled++
		}
	}
	return told, stalled
}

// End closes all of them.
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
	_ = errors.Join(errs...) // they may have ended already
}
