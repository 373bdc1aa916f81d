package daemon

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"rlb.dev/rlb-agent/reconcile/backoff"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/peers"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
	"rlb.dev/rlb-agent/reconcile/wake"
	"rlb.dev/rlb-agent/render"
)

// PeerLink is the link on which the agents of the virtual IPs hear each other.
type PeerLink interface {
	// TalkToAgents sends what comes by say to the agents on an interface's link, and calls heard for what others send, some
	// messages a second at most, until ctx ends; what is in say then is sent yet. Anybody on the link may have sent a
	// message, and it may hold anything.
	TalkToAgents(ctx context.Context, iface string, say <-chan host.AgentMessage, heard func(mac string, message host.AgentMessage)) error
	// Routers listens on an interface, for as long as listen, for the VRRP routers of other machines.
	Routers(ctx context.Context, iface string, listen time.Duration) ([]host.Router, error)
}

type peerHost interface {
	host.Host
	PeerLink
}

const (
	reportPause  = 500 * time.Millisecond // between two reports at least, however often something changes
	writePause   = time.Second            // between two changes of the status for what was heard
	tableRefresh = 10 * time.Second       // the table's file is written again, so that others see that it is kept
	advertsPause = 10 * time.Second       // between two listenings to VRRP, where an agent is missing
)

// peering exchanges reports with the agents of the peers, and keeps the table of what they said. One goroutine owns the
// table.
type peering struct {
	host    peerHost
	publish func(peers.Table) // what was heard is another now
	log     *slog.Logger
	version string // of the agent

	// servesOn is told whether a peer, by its MAC, serves on what it had before it was drained.
	servesOn func(mac string, on bool)

	mutex sync.Mutex // of what the other goroutines tell
	iface string
	self  peers.Self
	bell  chan struct{} // it changed

	heard   chan heardReport
	adverts chan []peers.Advert

	table    peers.Table
	linked   string                 // the interface of the link; "" before there is one
	say      chan host.AgentMessage // reports to send; nil without a link
	unlink   func()                 // ends the link
	sent     time.Time              // the last report
	pending  bool                   // what is to be sent has changed since
	written  time.Time              // the table's file
	news     bool                   // the file and the status do not tell it yet
	verdicts [2]peers.Verdict
	listened time.Time // to VRRP
	hearing  bool      // … just now
	teller   peerTeller
}

// heardReport is what came from another machine.
type heardReport struct {
	mac    string
	report peers.Report
}

func newPeering(h peerHost, version string, log *slog.Logger, publish func(peers.Table)) *peering {
	return &peering{
		host: h, publish: publish, log: log, version: version, teller: peerTeller{log: log}, servesOn: func(string, bool) {},
		bell: make(chan struct{}, 1), heard: make(chan heardReport), adverts: make(chan []peers.Advert, 1),
	}
}

// applySpec tells which spec is in force, and on which interface its virtual IPs are. It never waits.
func (p *peering) applySpec(iface string, now peers.Self) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	r := p.self.Report
	now.Role, now.Drained, now.Serving, now.Agent, now.Drains = r.Role, r.Drained, r.Serving, p.version, r.Drains
	p.iface, p.self = iface, now
	wake.Up(p.bell)
}

// hostIs tells how this host is. It never waits.
func (p *peering) hostIs(s status.Status) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	s.FillReport(&p.self.Report)
	wake.Up(p.bell)
}

// drains tells how far this host is with the connections that it had before it was drained. It never waits.
func (p *peering) drains(w state.Waiting) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.self.Drains = nil
	if w.On() {
		p.self.Drains = &peers.Drains{Connections: w.Left, Remaining: time.Until(w.Until).Truncate(time.Second)}
	}
	wake.Up(p.bell)
}

// run exchanges reports until ctx ends. Then it says goodbye.
func (p *peering) run(ctx context.Context) {
	timer := time.NewTimer(peers.Every)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			p.end()
			return
		case <-p.bell:
			p.takeSelf(ctx)
		case h := <-p.heard:
			p.hear(h.mac, h.report)
		case all := <-p.adverts:
			p.hearing = false
			p.table.HearAdverts(all)
		case <-timer.C:
		}
		if p.linked == "" {
			continue // no spec is in force yet
		}
		timer.Reset(p.step(ctx, time.Now()))
	}
}

// hear takes over what another machine says, where it is a peer.
func (p *peering) hear(mac string, report peers.Report) {
	if p.table.Hear(mac, report, time.Now()) {
		p.news, p.pending = true, true // an agent that has just started knows this host at once
	}
	on := report.Drains != nil
	if p.table.Has(mac) && (on || !report.Goodbye) { // an agent that is restarted goes on
		p.servesOn(mac, on)
	}
}

// takeSelf takes over how this host is.
func (p *peering) takeSelf(ctx context.Context) {
	p.mutex.Lock()
	iface, self := p.iface, p.self
	p.mutex.Unlock()
	if iface == "" {
		return
	}
	if p.table.Self.Drains != nil && self.Drains == nil {
		p.sent = time.Time{} // the new holder must know before it misses the heartbeats
	}
	if p.table.SetSelf(self) {
		p.pending, p.news, p.listened = true, true, time.Time{}
	}
	if iface != p.linked {
		p.link(ctx, iface)
	}
}

// link opens the link on another interface.
func (p *peering) link(ctx context.Context, iface string) {
	if p.unlink != nil {
		p.unlink()
	}
	// The goodbye is the last that is said, so the link does not end with ctx.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	say := make(chan host.AgentMessage, 1)
	talk := func(ctx context.Context) error {
		return p.host.TalkToAgents(ctx, iface, say, func(mac string, message host.AgentMessage) {
			report, err := peers.Parse(message.Body)
			if err != nil {
				return // anybody can send anything
			}
			report.Add(message.Addition)
			select {
			case p.heard <- heardReport{mac, report}:
			case <-ctx.Done():
			}
		})
	}
	again := &backoff.Backoff{First: time.Second, Most: 30 * time.Second, Quiet: 30 * time.Second}
	go func() {
		defer close(done)
		again.Repeat(ctx, talk, func(err error) { p.log.Debug("cannot hear the peers' agents", "err", err) })
	}()
	p.linked, p.say, p.unlink = iface, say, func() { cancel(); <-done }
	p.table.Since = time.Now()
	p.pending, p.news = true, true
}

// step does what is due now, and says how long nothing else will be.
func (p *peering) step(ctx context.Context, now time.Time) time.Duration {
	p.news = p.table.Expire(now) || p.news
	current := p.table.Mark(now)
	verdicts := [2]peers.Verdict{current.InSync(now), current.Redundant(now)}
	p.news = p.news || verdicts != p.verdicts
	p.verdicts = verdicts
	next := p.report(now)
	if p.news && now.Sub(p.written) >= writePause || now.Sub(p.written) >= tableRefresh {
		p.write(ctx, current)
	} else if p.news {
		next = min(next, writePause-now.Sub(p.written))
	}
	p.listen(ctx, now)
	return min(next, p.teller.tell(verdicts[0], verdicts[1], now))
}

// report sends this host's report where it is due, and says when the next one is.
func (p *peering) report(now time.Time) time.Duration {
	switch since := now.Sub(p.sent); {
	case p.pending && since < reportPause:
		return reportPause - since
	case !p.pending && since < peers.Every:
		return peers.Every - since
	}
	p.send(p.table.Self.Report)
	p.sent, p.pending = now, false
	return peers.Every
}

// send puts a report in place of one that could not be sent yet.
func (p *peering) send(r peers.Report) {
	select {
	case <-p.say:
	default:
	}
	p.say <- host.AgentMessage{Body: r.Message(), Addition: r.Addition()}
}

// write leaves the table for other programs, and what is new in it for the status.
func (p *peering) write(ctx context.Context, table peers.Table) {
	p.written = table.Written
	if err := state.WriteDerived(ctx, p.host, state.PeersFile, table); err != nil && ctx.Err() == nil {
		p.log.Warn("cannot write what the peers' agents say", "err", err)
	}
	if p.news {
		p.news = false
		table.Peers = slices.Clone(table.Peers)
		p.publish(table)
	}
}

// listen hears what routers advertise where the agent of a peer is missing. An agent knows more of its host.
func (p *peering) listen(ctx context.Context, now time.Time) {
	if p.hearing || now.Sub(p.listened) < advertsPause || p.table.AllHeard(now) {
		return
	}
	p.listened, p.hearing = now, true
	iface, wait := p.linked, min(max(p.table.Self.Spec.Router.Interval, time.Second)+100*time.Millisecond, 5*time.Second)
	go func() {
		routers, err := p.host.Routers(ctx, iface, wait)
		if err != nil {
			p.log.Debug("cannot hear VRRP routers", "err", err)
		}
		at := time.Now()
		var all []peers.Advert
		for _, r := range routers {
			router := peers.Router{ID: r.RouterID, Version: r.Version, Priority: r.Priority, Interval: r.Interval, Addresses: r.Addresses}
			all = append(all, peers.Advert{Router: router, From: r.From, MAC: r.MAC, Heard: at})
		}
		p.adverts <- all
	}()
}

// end says goodbye, and takes the table's file away: nobody keeps it.
func (p *peering) end() {
	if p.linked == "" {
		return
	}
	goodbye := p.table.Self.Report
	goodbye.Goodbye = true
	p.send(goodbye)
	p.unlink()
	if err := p.host.RemoveFile(context.Background(), state.PeersFile); err != nil {
		p.log.Warn(err.Error())
	}
}

// selfOf is this host with the spec in force, or with the one that is tried.
func selfOf(ctx context.Context, h host.Host, force *state.InForce) peers.Self {
	node := force.Node
	if node == "" {
		node, _ = os.Hostname()
	}
	if trial, err := state.RunningTrial(ctx, h); err == nil && trial != nil && !trial.Over(time.Now()) {
		if doc, err := state.TrialSpec(ctx, h); err == nil {
			self := peers.SelfOf(&doc.Spec, node)
			self.Spec.Digest, self.Spec.Generation, self.Spec.Trial = doc.Digest, force.Generation, true
			self.Forwards = render.Hands(&doc.Spec)
			return self
		}
	}
	self := peers.SelfOf(force.Spec, node)
	self.Spec.Digest, self.Spec.Generation, self.Forwards = force.Digest, force.Generation, force.Hands
	return self
}
