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

// machine is a host: its kernel, its systemd, and the programs on it. The world's lock guards a machine.
type machine struct {
	*lan
	name, mac string
	addr      netip.Addr
	settings
	holders, servers *history.History // which hosts hold the virtual IP, and which serve at it

	up       bool // the host runs, and its link is up
	boots    int
	stalled  bool
	thawed   chan struct{} // closed at the end of a stall; nil if there was none
	deferred []func()      // events delayed by a stall
	inbox    []frame       // frames that arrived during a stall

	vip          bool // the virtual IP is on the interface
	fault, drain bool // the values of the tracked files
	filtered     bool // the firewall drops VRRP
	taps         []*tap
	busy         *agent               // the process that holds /run/rlb/lock
	changed      map[string]time.Time // when files were last changed
	former       []byte               // state.FormerFile, which a process without the lock removes; nil if there is none
	wanted       *api.Document        // the spec file
	undone       bool                 // a run that applies the spec file has begun and not succeeded
	rejoin       *agent               // the process that waits to join another virtual router; nil if there is none
	pids         int

	haproxy    *haproxy
	keepalived *keepalived
	agent      *agent // nil while no agent runs
	bells      []chan<- struct{}
}

// tap is a packet socket. It receives frames before the firewall.
type tap struct {
	hear     func(frame)
	admitted bool // receives only advertisements that the firewall accepts
}

func newMachine(l *lan, name, mac string, addr netip.Addr, s settings, holders, servers *history.History) *machine {
	m := &machine{lan: l, name: name, mac: mac, addr: addr, settings: s, holders: holders, servers: servers, wanted: s.doc, changed: map[string]time.Time{}}
	m.haproxy, m.keepalived = newHAProxy(m), newKeepalived(m)
	l.join(mac, m)
	return m
}

// after runs do on this host later, unless the host has crashed by then. A stalled host runs it at the end of the stall.
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

// soon runs do on this host after a random time.
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
	m.fault = false // the file is below /run
	m.tell("%s boots", m.name)
	m.soon(20*time.Millisecond, 200*time.Millisecond, func() {
		m.startAgent()
		m.soon(20*time.Millisecond, 150*time.Millisecond, m.haproxy.start)
		m.soon(20*time.Millisecond, 150*time.Millisecond, m.keepalived.start)
	})
}

// crash ends everything on the host at once.
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

// stall stops the whole host with its kernel, or continues it. Frames and events from the time of the stall come all at once
// at its end.
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

// setVIP adds the virtual IP to the interface, or removes it.
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

// serves records whether this host serves clients at the virtual IP.
func (m *machine) serves() {
	m.servers.Add(history.Change{At: time.Now(), Host: m.name, Holds: m.vip && m.haproxy.answers()})
}

// removed removes the virtual IP on behalf of a program other than keepalived. keepalived notices the change by netlink.
func (m *machine) removed() {
	if m.vip {
		m.setVIP(false)
		m.keepalived.lost()
	}
}

// hear handles a frame as the kernel does.
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

// admits says whether the firewall accepts an advertisement.
func (m *machine) admits(f frame) bool {
	return !m.filtered && slices.Contains(m.force.Peers, f.sender)
}

// connect sends the kernel's answer to a connection request. The kernel also accepts for a hung HAProxy. With planned moves, a
// local route makes the kernel answer at a virtual IP that the host does not hold (render, handover).
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

// listen opens a packet socket. end closes it.
func (m *machine) listen(admitted bool, hear func(frame)) (end func()) {
	t := &tap{hear, admitted}
	m.taps = append(m.taps, t)
	return func() { m.taps = slices.DeleteFunc(m.taps, func(other *tap) bool { return other == t }) }
}

// announce sends gratuitous ARP for the virtual IP, to all stations or to one.
func (m *machine) announce(to string) {
	m.send(frame{kind: claim, from: m.mac, to: to, addr: vip})
}
