package model

import (
	"net/netip"
	"slices"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// edits are changes of the identity of the virtual router. The real daemon of the active host waits up to 3 s so that the
// standby changes first. In the model the hosts change in any order and at any time.
var edits = []fault{
	{name: "router changed on the standby first", at: standby, none: rejoined, two: met, move: true, lasts: brief(0, 4*time.Second),
		begin: func(a *act) { a.p.edit(1, a.m) }, end: func(a *act) { a.p.edit(0, a.other) }},
	{name: "router changed on the active host first", none: rejoined, two: met, move: true, lasts: brief(0, 4*time.Second),
		begin: func(a *act) { a.p.edit(1, a.m) }, end: func(a *act) { a.p.edit(0, a.other) }},
	{name: "router changed on the active host first, its goodbye is lost", none: rejoined, two: met, move: true, lasts: brief(500*time.Millisecond, 4*time.Second),
		begin: func(a *act) { a.p.lan.goodbyes[a.m.mac] = true; a.p.edit(1, a.m) },
		end:   func(a *act) { delete(a.p.lan.goodbyes, a.m.mac); a.p.edit(0, a.other) }},
	{name: "router changed on both at once", none: rejoined, two: met, move: true, lasts: brief(0, 100*time.Millisecond),
		begin: func(a *act) { a.p.edit(1, a.m) }, end: func(a *act) { a.p.edit(0, a.other) }},
	{name: "router changed and changed back", at: either, none: rejoined, two: met, move: true, lasts: brief(0, 3*time.Second),
		begin: func(a *act) { a.p.edit(1, a.m) }, end: func(a *act) { a.p.edit(-1, a.m) }},
	{name: "router changed, and again on both", at: either, none: rejoined, two: outrun, move: true, lasts: brief(0, 3*time.Second),
		begin: func(a *act) { a.p.edit(1, a.m) }, end: func(a *act) { a.p.edit(1, a.p.machines...) }},
	{name: "router changed twice on both", none: rejoined, two: outrun, move: true, lasts: brief(0, 3*time.Second),
		begin: func(a *act) { a.p.edit(1, a.p.machines...) }, end: func(a *act) { a.p.edit(1, a.p.machines...) }},
}

// besides are faults that happen only together with an edit: the rejoin process is killed, or a device sends advertisements of
// the former virtual router without a goodbye until the pair is right nevertheless.
var besides = []fault{
	{name: "rejoin killed", at: either, begin: func(a *act) { a.m.killRejoin() }},
	{name: "a stranger advertises the former router", endless: true,
		begin: func(a *act) { a.p.device.advertise(a.p.former, stranger, a.m.advertise/2) }, end: func(a *act) { a.p.device.stop() }},
	{name: "the former router is advertised in a node's name", at: either, endless: true, none: kept, two: met, move: true,
		begin: func(a *act) { a.p.device.advertise(a.p.former, a.other.addr, a.m.advertise/2) }, end: func(a *act) { a.p.device.stop() }},
}

// edit changes the router id of hosts: to that of the last edit (step 0), the next one (1), or the one before (-1).
func (p *pair) edit(step int, hosts ...*machine) {
	p.variant.router += step
	doc, err := p.variant.spec()
	if err != nil {
		panic(err) // the model's own spec
	}
	for _, m := range hosts {
		m.edit(doc)
	}
}

// stranger is an address that no node has.
var stranger = netip.MustParseAddr("198.51.100.66")

// former returns the virtual router that a host leaves. Only its timing counts.
func former(a *act) *state.FormerRouter {
	return &state.FormerRouter{Identities: a.m.force.Identities}
}

// joining is the time until a started keepalived takes over.
func joining(a *act) time.Duration { return 250*time.Millisecond + takeover(a) }

// rejoined is the time until a host that may have heard the other before the other left has noticed its silence and taken
// over.
func rejoined(a *act) time.Duration {
	return former(a).AfterLeaving() + former(a).Silence() + joining(a)
}

// unheard is the time until one of two holders in different virtual routers stands down: a host that hears no advertisement of
// the other assumes for 2 s that the other is about to give up the virtual IP (failover, hungTime).
func unheard(a *act) time.Duration { return argued(a) + 2*time.Second }

// outrun is how long a host is master of the router in between, in which its peer never was and does not look for it: until
// the run that brought it there has verified that (host.SignalGrace; reconcile, verifyPause and settleTime), and the next
// one has left it. The active host lets its peer go first for 3 s, so that needs edits that are asked for on both at once.
func outrun(a *act) time.Duration {
	return max(met(a), host.SignalGrace+350*time.Millisecond+lookPause+2*slack-a.m.force.Takeover)
}

// met is until one of two that took over at the same time hears the other.
func met(a *act) time.Duration { return a.m.advertise + slack }

// kept is the time until a host has searched three times for a holder of the virtual IPs, and joins although the former router
// is advertised.
func kept(a *act) time.Duration {
	pause := max(time.Second, former(a).Silence()/2)
	look := 3*(neighbourPatience+replyPatience) + former(a).Listen()
	return 2*pause + 3*look + rejoined(a)
}

func isEdit(a *act) bool {
	return slices.ContainsFunc(edits, func(f fault) bool { return f.name == a.name })
}
