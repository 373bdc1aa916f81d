package model

import "time"

// fault is an event that happens to a pair, and the cost that it may have. The costs of several faults add up.
type fault struct {
	name       string
	at         aim
	lasts      [2]time.Duration // shortest and longest duration; zero: the fault is over at once
	begin, end func(*act)       // end may be nil

	none func(*act) time.Duration // the longest time without a host that holds the virtual IP and serves; nil is 0
	two  func(*act) time.Duration // the longest time with two holders; nil is 0
	move bool                     // the virtual IP may move

	// unseen says that no agent may notice an effect of the fault: an event that begins and ends while an agent hangs, a
	// device that claims the virtual IP while frames of it do not reach the holder, or an announcement that is lost on its way to
	// one neighbour (no host answers an announcement, RFC 5227, section 3). If another fault happens too, neighbours may learn
	// the right MAC only when keepalived repeats its gratuitous ARP (vrrp_garp_master_refresh).
	unseen bool

	// endless says that the fault ends when the pair is right again. Its cost must not depend on its duration.
	endless bool
}

// aim says which host a fault happens to.
type aim int

const (
	active aim = iota
	standby
	either
)

// act is one occurrence of a fault.
type act struct {
	*fault
	p        *pair
	m, other *machine
	after    time.Duration // from the beginning of the round
	lasts    time.Duration
	share    float64         // a random number from 0 to 1
	drained  <-chan struct{} // closed when its last command has ended; nil if there was none
}

// slack is a part of each bound: the time of the model's processes and LAN beyond the timers. That is at most four queries to
// systemd, the start of a process and some frames.
const slack = 60 * time.Millisecond

// takeover is the time until a peer takes over from a host that falls silent (RFC 9568 §6.1, Active_Down_Interval).
func takeover(a *act) time.Duration { return a.m.force.Takeover + slack }

// handed is the time until a peer takes over after a goodbye (RFC 9568 §6.1, Skew_Time).
func handed(a *act) time.Duration { return a.m.force.Skew + slack }

// hung is the time until a hung HAProxy has been detected and the peer has taken over. The agent probes HAProxy every 150 ms,
// and counts it as hung after 120 ms of silence (failover page). An agent with a late timer recently waits 450 ms instead.
func hung(a *act) time.Duration {
	return min(a.lasts, 150*time.Millisecond+probePatience) + handed(a)
}

// apart is the time in which the hosts do not hear each other, plus the time until one of them becomes BACKUP.
func apart(a *act) time.Duration { return a.lasts + a.m.advertise + slack }

// argued is the time until one of two holders stands down if VRRP does not pass between them. After a claim they give
// keepalived the time of a takeover, search twice (300 ms each plus 200 ms for the probe) 150 ms apart, and listen for
// advertisements before the second search (state.FormerRouter.Listen).
func argued(a *act) time.Duration {
	return a.m.force.Takeover + 2*(300+200)*time.Millisecond + 150*time.Millisecond + a.m.advertise*3/2 + 50*time.Millisecond + 2*slack
}

// removedBy is the time from the claim of the peer until the agent has removed the virtual IP that a dead keepalived left
// behind. Without an agent the next start of keepalived removes it (render, restartMargin).
func removedBy(a *act) time.Duration { return 300 * time.Millisecond }

// killed is the time from the claim of the peer until the agent has killed a hung keepalived: 120 ms in haste, else 0.8 s.
func killed(a *act) time.Duration { return 900 * time.Millisecond }

func brief(from, to time.Duration) [2]time.Duration { return [2]time.Duration{from, to} }

// stallCosts is how long nobody may serve while the active host stalls: until the stall ends or the peer takes over. stallTwo
// is how long both hosts may hold the virtual IP: from the takeover until one has heard the other after the stall.
func stallCosts(a *act) time.Duration { return min(a.lasts, a.m.force.Takeover) + slack }

func stallTwo(a *act) time.Duration { return max(0, a.lasts-2*a.m.advertise) + a.m.advertise + slack }

var faults = []fault{
	{name: "HAProxy killed", none: handed, move: true, begin: func(a *act) { a.m.haproxy.kill() }},
	{name: "HAProxy hangs", none: hung, move: true, lasts: brief(200*time.Millisecond, 4*time.Second),
		begin: func(a *act) { a.m.haproxy.hang(true) }, end: func(a *act) { a.m.haproxy.hang(false) }},
	{name: "HAProxy is late", lasts: brief(5*time.Millisecond, 80*time.Millisecond),
		begin: func(a *act) { a.m.haproxy.hang(true) }, end: func(a *act) { a.m.haproxy.hang(false) },
		none: func(a *act) time.Duration { return a.lasts + time.Millisecond }},
	{name: "HAProxy hangs on the standby", at: standby, lasts: brief(200*time.Millisecond, 4*time.Second),
		begin: func(a *act) { a.m.haproxy.hang(true) }, end: func(a *act) { a.m.haproxy.hang(false) }},
	{name: "HAProxy out", none: handed, move: true, lasts: brief(500*time.Millisecond, 4*time.Second),
		begin: func(a *act) { a.m.haproxy.keep(true); a.m.haproxy.kill() }, end: func(a *act) { a.m.haproxy.keep(false) }},
	{name: "HAProxy out on both", move: true, lasts: brief(200*time.Millisecond, 4*time.Second),
		none: func(a *act) time.Duration {
			return a.lasts + haproxyRest + 200*time.Millisecond + checked(a) + takeover(a)
		},
		two:   func(a *act) time.Duration { return slack },
		begin: func(a *act) { both(a, func(m *machine) { m.haproxy.keep(true); m.haproxy.kill() }) },
		end:   func(a *act) { both(a, func(m *machine) { m.haproxy.keep(false) }) }},
	{name: "HAProxy hangs on both", move: true, lasts: brief(200*time.Millisecond, 4*time.Second),
		none:  func(a *act) time.Duration { return a.lasts + faultSeen + takeover(a) },
		two:   func(a *act) time.Duration { return slack },
		begin: func(a *act) { both(a, func(m *machine) { m.haproxy.hang(true) }) },
		end:   func(a *act) { both(a, func(m *machine) { m.haproxy.hang(false) }) }},

	{name: "keepalived killed", none: handed, two: removedBy, move: true, begin: func(a *act) { a.m.keepalived.kill() }},
	{name: "keepalived killed on the standby", at: standby, begin: func(a *act) { a.m.keepalived.kill() }},
	{name: "keepalived stopped", none: handed, move: true, lasts: brief(10*time.Millisecond, 2*time.Second),
		begin: func(a *act) { a.m.keepalived.keep(true) }, end: func(a *act) { a.m.keepalived.keep(false) }},
	{name: "keepalived's VRRP process killed", none: handed, two: removedBy, move: true, begin: func(a *act) { a.m.keepalived.killChild() }},
	{name: "keepalived hangs", at: either, none: handed, two: killed, move: true, lasts: brief(50*time.Millisecond, 3*time.Second),
		begin: func(a *act) { a.m.keepalived.suspend(true) }, end: func(a *act) { a.m.keepalived.suspend(false) }},

	{name: "agent killed", at: either, begin: func(a *act) { a.m.killAgent() }},
	{name: "agent hangs", unseen: true, at: either, lasts: brief(50*time.Millisecond, 4*time.Second), begin: stopAgent(true), end: stopAgent(false)},

	{name: "host crashes", none: takeover, move: true, lasts: brief(200*time.Millisecond, 3*time.Second),
		begin: func(a *act) { a.m.crash() }, end: func(a *act) { a.m.boot() }},
	{name: "standby crashes", at: standby, lasts: brief(200*time.Millisecond, 3*time.Second),
		begin: func(a *act) { a.m.crash() }, end: func(a *act) { a.m.boot() }},
	{name: "host reboots", none: handed, move: true, lasts: brief(300*time.Millisecond, 2*time.Second),
		begin: func(a *act) { a.m.keepalived.keep(true); a.p.world.after(20*time.Millisecond, a.m.crash) },
		end:   func(a *act) { a.m.boot(); a.m.keepalived.keep(false) }},
	{name: "host stalls", at: either, none: stallCosts, two: stallTwo, move: true, lasts: brief(50*time.Millisecond, 3*time.Second),
		begin: func(a *act) { a.m.stall(true) }, end: func(a *act) { a.m.stall(false) }},
	{name: "host stalls for a moment", at: either, lasts: brief(time.Millisecond, 100*time.Millisecond),
		none:  func(a *act) time.Duration { return a.lasts + time.Millisecond },
		begin: func(a *act) { a.m.stall(true) }, end: func(a *act) { a.m.stall(false) }},

	{name: "hosts are apart", none: handed, two: apart, move: true, lasts: brief(50*time.Millisecond, 4*time.Second),
		begin: part(true, true, true), end: part(true, true, false)},
	{name: "nothing passes from the host", at: either, none: handed, two: apart, move: true, lasts: brief(50*time.Millisecond, 4*time.Second),
		begin: part(true, false, true), end: part(true, false, false)},
	{name: "link is down", at: either, none: takeover, two: apart, move: true, lasts: brief(50*time.Millisecond, 4*time.Second),
		begin: func(a *act) { a.p.lan.isolate(a.m.mac, true) }, end: func(a *act) { a.p.lan.isolate(a.m.mac, false) }},
	{name: "VRRP does not pass", at: either, none: handed, two: argued, move: true, lasts: brief(50*time.Millisecond, 4*time.Second),
		begin: func(a *act) { a.m.filtered = true }, end: func(a *act) { a.m.filtered = false }},
	{name: "VRRP passes in no direction", none: handed, two: argued, move: true, lasts: brief(50*time.Millisecond, 4*time.Second),
		begin: func(a *act) { both(a, func(m *machine) { m.filtered = true }) },
		end:   func(a *act) { both(a, func(m *machine) { m.filtered = false }) }},
	{name: "frames are lost", unseen: true, at: either, none: handed, two: argued, move: true, lasts: brief(500*time.Millisecond, 6*time.Second),
		begin: func(a *act) { a.p.lan.loss[a.m.mac] = 0.01 + 0.29*a.share }, end: func(a *act) { delete(a.p.lan.loss, a.m.mac) }},
	{name: "frames are slow", at: either, lasts: brief(500*time.Millisecond, 6*time.Second),
		begin: func(a *act) { a.p.lan.slow[a.m.mac] = time.Duration(30 * a.share * float64(time.Millisecond)) },
		end:   func(a *act) { delete(a.p.lan.slow, a.m.mac) }},

	{name: "drained", none: handed, move: true, lasts: brief(50*time.Millisecond, 3*time.Second),
		begin: func(a *act) { a.p.drain(a, true) }, end: func(a *act) { a.p.drain(a, false) }},
	{name: "a device answers for the virtual IP", unseen: true, lasts: brief(200*time.Millisecond, 4*time.Second),
		begin: func(a *act) { a.p.device.refuses = a.share < 0.5; a.p.device.put(true) }, end: func(a *act) { a.p.device.put(false) }},
}

// faultSeen is the time until an agent in FAULT notices that HAProxy answers again (failover, faultPause), including a probe
// that is still running.
const faultSeen = 250*time.Millisecond + probePatience

// checked is the time until keepalived's own check succeeds again (vrrp.check); 0 if the fault is too short for it to fail.
func checked(a *act) time.Duration {
	if a.lasts+haproxyRest+200*time.Millisecond < time.Duration(a.m.fall-1)*a.m.interval {
		return 0
	}
	return time.Duration(a.m.rise) * a.m.interval
}

func both(a *act, do func(*machine)) {
	for _, m := range a.p.machines {
		do(m)
	}
}

func part(there, back, apart bool) func(*act) {
	return func(a *act) {
		if there {
			a.p.lan.part(a.m.mac, a.other.mac, apart)
		}
		if back {
			a.p.lan.part(a.other.mac, a.m.mac, apart)
		}
	}
}

func stopAgent(on bool) func(*act) {
	return func(a *act) {
		if a.m.agent != nil {
			a.m.agent.stop(on)
		}
	}
}
