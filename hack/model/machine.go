package model

import (
	"net/netip"
	"slices"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/hack/history"
	"rlb.dev/rlb-agent/reconcile/wake"
)

// vip is the virtual IP of every run.
var vip = netip.MustParseAddr("198.51.100.100")

// machine is a host: what its kernel and systemd do, and what runs on it. The world's lock guards it.
type machine struct {
	*lan
	name, mac string
	addr      netip.Addr
	settings
	holders, servers *history.History // who holds the virtual IP, and who serves at it

	up       bool // it runs; the link is up too
	boots    int
	stalled  bool
	thawed   chan struct{} // closed at the end of a stall; nil without one
	deferred []func()      // what was to happen on a stalled host
	inbox    []frame       // … and what came

	vip          bool // it is on the interface
	fault, drain bool // what the tracked files say
	filtered     bool // its firewall drops VRRP
	taps         []*tap
	busy         *agent               // the process that holds /run/rlb/lock
	changed      map[string]time.Time // when files were
	former       []byte               // state.FormerFile, which a process without the lock removes; nil while there is none
	wanted       *api.Document        // the spec file
	undone       bool                 // a run that brings it into force has not come to its end
	rejoin       *agent               // the process that waits to join another virtual router; nil while none does
	pids         int

	haproxy    *haproxy
	keepalived *keepalived
	agent      *agent // nil while none runs
	bells      []chan<- struct{}
}

// tap is a packet socket: it sees what comes, before the firewall.
type tap struct {
	hear     func(frame)
	admitted bool // behind the firewall
}

func newMachine(l *lan, name, mac string, addr netip.Addr, s settings, holders, servers *history.History) *machine {
	m := &machine{lan: l, name: name, mac: mac, addr: addr, settings: s, holders: holders, servers: servers, wanted: s.doc, changed: map[string]time.Time{}}
	m.haproxy, m.keepalived = newHAProxy(m), newKeepalived(m)
	l.join(mac, m)
	return m
}

// after does something on this host later, unless it has crashed by then. A stalled host does it at the end of the stall.
func (m *machine) after(d time.Duration, do func()) {
	boot := m.boots
	m.world.after(d, func() {
		switch {
		case m.boots != boot || !m.up:
		case m.stalled:
			m.deferred = append(m.deferred, func() {
				if m.boots == boot && m.up {
					do()
				}
			})
		default:
			do()
		}
	})
}

// soon is after a random time.
func (m *machine) soon(least, most time.Duration, do func()) {
	m.after(m.within("machine "+m.name, least, most), do)
}

func (m *machine) pid() int { m.pids++; return m.pids }

// boot starts the host. The agent's unit is ordered before the others (hack/systemd/rlb-agent.service).
func (m *machine) boot() {
	if m.up {
		return
	}
	m.up, m.boots = true, m.boots+1
	m.fault = false // it is below /run
	m.tell("%s boots", m.name)
	m.soon(20*time.Millisecond, 200*time.Millisecond, func() {
		m.startAgent()
		m.soon(20*time.Millisecond, 150*time.Millisecond, m.haproxy.start)
		m.soon(20*time.Millisecond, 150*time.Millisecond, m.keepalived.start)
	})
}

// crash takes all that runs away at once.
func (m *machine) crash() {
	if !m.up {
		return
	}
	m.tell("%s is off", m.name)
	m.killAgent()
	m.endRejoin()
	m.files, m.former = m.files.Clone(), nil
	m.files.Reboot()
	m.haproxy.gone()
	m.keepalived.gone()
	m.up, m.deferred, m.inbox, m.taps, m.bells = false, nil, nil, nil, nil
	m.setVIP(false)
	m.stall(false)
}

// stall stops the whole host, its kernel too, or lets it go on: what came meanwhile is there at once then.
func (m *machine) stall(on bool) {
	switch {
	case on && !m.stalled && m.up:
		m.stalled, m.thawed = true, make(chan struct{})
	case !on && m.stalled:
		m.stalled = false
		close(m.thawed)
		frames, deferred := m.inbox, m.deferred
		m.inbox, m.deferred = nil, nil
		for _, f := range frames {
			m.hear(f)
		}
		for _, do := range deferred {
			do()
		}
		m.keepalived.wake()
	}
	m.serves()
}

// setVIP puts the virtual IP on the interface, or takes it off.
func (m *machine) setVIP(on bool) {
	if m.vip == on {
		return
	}
	m.vip = on
	m.holders.Add(history.Change{At: time.Now(), Host: m.name, Holds: on})
	m.tell("%s %s the virtual IP", m.name, map[bool]string{true: "takes", false: "gives up"}[on])
	for _, bell := range m.bells {
		wake.Up(bell)
	}
	m.serves()
}

// serves notes whether clients that ask this host are served.
func (m *machine) serves() {
	m.servers.Add(history.Change{At: time.Now(), Host: m.name, Holds: m.vip && m.haproxy.answers()})
}

// removed is that a program other than keepalived took the virtual IP off. keepalived sees it by netlink.
func (m *machine) removed() {
	if m.vip {
		m.setVIP(false)
		m.keepalived.lost()
	}
}

// hear is what the kernel does with a frame.
func (m *machine) hear(f frame) {
	switch {
	case !m.up:
		return
	case m.stalled:
		m.inbox = append(m.inbox, f)
		return
	}
	for _, t := range slices.Clone(m.taps) {
		if !t.admitted || f.kind != advert || m.admits(f) {
			t.hear(f)
		}
	}
	switch f.kind {
	case advert:
		if m.admits(f) {
			m.keepalived.hear(f)
		}
	case whoHas:
		if f.addr == m.addr || f.addr == vip && m.vip {
			m.send(frame{kind: claim, from: m.mac, to: f.from, addr: f.addr})
		}
	case syn:
		m.connect(f)
	}
}

// admits says whether an advertisement gets through the firewall.
func (m *machine) admits(f frame) bool {
	return !m.filtered && slices.Contains(m.force.Peers, f.sender)
}

// connect is the kernel's answer to a connection request: it accepts for a HAProxy that hangs too. For planned moves a
// local route has it answer at the virtual IP without holding it (render, handover).
func (m *machine) connect(f frame) {
	reply := refused
	switch {
	case f.addr == vip && !m.vip && !(m.hands && m.haproxy.running):
		return
	case m.haproxy.running:
		reply = accepted
	}
	m.send(frame{kind: reply, from: m.mac, to: f.from, addr: f.addr, number: f.number})
}

// listen opens a packet socket. close ends it.
func (m *machine) listen(admitted bool, hear func(frame)) (end func()) {
	t := &tap{hear, admitted}
	m.taps = append(m.taps, t)
	return func() { m.taps = slices.DeleteFunc(m.taps, func(other *tap) bool { return other == t }) }
}

// announce sends gratuitous ARP for the virtual IP, to everyone or to one station.
func (m *machine) announce(to string) {
	m.send(frame{kind: claim, from: m.mac, to: to, addr: vip})
}
