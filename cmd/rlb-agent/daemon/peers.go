package daemon

import (
	"context"
	"log/slog"
	"maps"
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

// PeerLink carries the messages between the agents that share the virtual IPs.
type PeerLink interface {
	// TalkToAgents sends the messages of say to the agents on the link of an interface, and calls heard for messages of
	// others, a few a second at most, until ctx ends. Then it still sends what is left in say. Any machine on the link may
	// send messages, with any content.
	TalkToAgents(ctx context.Context, iface string, say <-chan host.AgentMessage, heard func(mac string, message host.AgentMessage)) error
	// Routers listens on an interface for VRRP routers of other machines, for the time listen.
	Routers(ctx context.Context, iface string, listen time.Duration) ([]host.Router, error)
}

type peerHost interface {
	host.Host
	PeerLink
}

const (
	reportPause  = 500 * time.Millisecond // shortest time between two reports, however often they change
	writePause   = time.Second            // shortest time between two changes of the status after messages
	tableRefresh = 10 * time.Second       // the table's file is rewritten after this time: readers see that it is up to date
	advertsPause = 10 * time.Second       // time between two listenings for VRRP, while a peer's agent is missing
)

// peering exchanges reports with the peers' agents and keeps the table of their reports. One goroutine owns the table.
type peering struct {
	host    peerHost
	publish func(peers.Table) // called when the table has changed
	log     *slog.Logger
	version string // of the agent

	// servesOn is called with a peer's MAC: whether the drained peer still serves its earlier connections.
	servesOn func(mac string, on bool)
	// yielded is called when a peer, which was MASTER since the given time, reports that it is BACKUP.
	yielded func(since time.Time)
	masters map[string]time.Time // since when peers report that they are MASTER, by MAC

	mutex sync.Mutex // guards iface and self
	iface string
	self  peers.Self
	bell  chan struct{} // rings when they have changed

	heard   chan heardReport
	adverts chan []peers.Advert

	table    peers.Table
	linked   string                 // the interface of the link; "": no link
	say      chan host.AgentMessage // reports to send; nil without a link
	unlink   func()                 // closes the link
	sent     time.Time              // when the last report was sent
	pending  bool                   // the report has changed since
	written  time.Time              // when the table's file was written
	news     bool                   // the file and the status are older than the table
	verdicts [2]peers.Verdict
	listened time.Time // when VRRP was last listened for
	hearing  bool      // listening now
	teller   peerTeller
}

// heardReport is a report of another machine.
type heardReport struct {
	mac    string
	report peers.Report
}

func newPeering(h peerHost, version string, log *slog.Logger, publish func(peers.Table)) *peering {
	return &peering{
		host: h, publish: publish, log: log, version: version, teller: peerTeller{log: log}, servesOn: func(string, bool) {},
		yielded: func(time.Time) {}, masters: map[string]time.Time{},
		bell: make(chan struct{}, 1), heard: make(chan heardReport), adverts: make(chan []peers.Advert, 1),
	}
}

// applySpec sets the spec in force and the interface of its virtual IPs. It never waits.
func (p *peering) applySpec(iface string, now peers.Self) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	r := p.self.Report
	now.Role, now.Drained, now.Serving, now.Agent, now.Drains = r.Role, r.Drained, r.Serving, p.version, r.Drains
	p.iface, p.self = iface, now
	wake.Up(p.bell)
}

// hostIs sets the state of this host. It never waits.
func (p *peering) hostIs(s status.Status) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	s.FillReport(&p.self.Report)
	wake.Up(p.bell)
}

// drains sets the progress of the wait of a drain: the connections that this host still serves. It never waits.
func (p *peering) drains(w state.Waiting) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.self.Drains = nil
	if w.On() {
		p.self.Drains = &peers.Drains{Connections: w.Left, Remaining: time.Until(w.Until).Truncate(time.Second)}
	}
	wake.Up(p.bell)
}

// run exchanges reports until ctx ends. Then it sends a goodbye.
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
			continue // no spec in force so far
		}
		timer.Reset(p.step(ctx, time.Now()))
	}
}

// hear adds a report to the table, if it is from a peer.
func (p *peering) hear(mac string, report peers.Report) {
	if p.table.Hear(mac, report, time.Now()) {
		p.news, p.pending = true, true // report at once: an agent that has just started does not know this host
	}
	if !p.table.Has(mac) {
		return
	}
	p.noteYield(mac, report)
	on := report.Drains != nil
	if on || !report.Goodbye { // a restarting agent still serves the connections
		p.servesOn(mac, on)
	}
}

// noteYield calls yielded if a peer that was MASTER reports that it is BACKUP. A peer that reports FAULT, or that it stopped,
// gave the virtual IPs up itself.
func (p *peering) noteYield(mac string, r peers.Report) {
	since, was := p.masters[mac]
	switch r.Role {
	case host.RoleMaster:
		if !was {
			maps.DeleteFunc(p.masters, func(mac string, _ time.Time) bool { return !p.table.Has(mac) })
			p.masters[mac] = time.Now()
		}
		return
	case host.RoleUnknown: // its keepalived was slow to answer
		return
	case host.RoleBackup:
		if was {
			p.yielded(since)
		}
	}
	delete(p.masters, mac)
}

// takeSelf takes over the state of this host.
func (p *peering) takeSelf(ctx context.Context) {
	p.mutex.Lock()
	iface, self := p.iface, p.self
	p.mutex.Unlock()
	if iface == "" {
		return
	}
	if p.table.Self.Drains != nil && self.Drains == nil {
		p.sent = time.Time{} // send at once: the new holder must know before it misses heartbeats
	}
	if p.table.SetSelf(self) {
		p.pending, p.news, p.listened = true, true, time.Time{}
	}
	if iface != p.linked {
		p.link(ctx, iface)
	}
}

// link opens the link on an interface and closes the former one.
func (p *peering) link(ctx context.Context, iface string) {
	if p.unlink != nil {
		p.unlink()
	}
	// The goodbye is the last message, so the link does not end with ctx.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	say := make(chan host.AgentMessage, 1)
	talk := func(ctx context.Context) error {
		return p.host.TalkToAgents(ctx, iface, say, func(mac string, message host.AgentMessage) {
			report, err := peers.Parse(message.Body)
			if err != nil {
				return // any machine can send anything
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

// step does what is due, and returns the time until the next step.
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

// report sends this host's report if it is due, and returns the time until the next one.
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

// send queues a report; it replaces one that was not sent.
func (p *peering) send(r peers.Report) {
	select {
	case <-p.say:
	default:
	}
	p.say <- host.AgentMessage{Body: r.Message(), Addition: r.Addition()}
}

// write writes the table to its file, and publishes news to the status.
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

// listen listens for VRRP advertisements if the agent of a peer is missing. An agent's report has more than an
// advertisement.
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

// end sends a goodbye and removes the table's file, which would become outdated.
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

// selfOf describes this host with the spec in force, or with the one that is being tried.
func selfOf(ctx context.Context, h host.Host, force *state.InForce) peers.Self {
	node := force.Node
	if node == "" {
		node, _ = os.Hostname()
	}
	spec, digest, tried := force.Spec, force.Digest, false
	if trial, err := state.RunningTrial(ctx, h); err == nil && trial != nil && !trial.Over(time.Now()) {
		if doc, err := state.TrialSpec(ctx, h); err == nil {
			spec, digest, tried = &doc.Spec, doc.Digest, true
		}
	}
	self := peers.SelfOf(spec, node)
	self.Spec.Digest, self.Spec.Generation, self.Spec.Trial = digest, force.Generation, tried
	rules, err := h.Unit(ctx, render.HandoverUnit) // not there if the kernel or nft refuses the rules
	self.Forwards = render.Hands(spec) && err == nil && rules.Active()
	return self
}
