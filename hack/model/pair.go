package model

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"rlb.dev/rlb-agent/hack/history"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// pair is two hosts on a LAN, with a client and a device.
type pair struct {
	*world
	lan              *lan
	machines         []*machine
	client           *client
	device           *device
	holders, servers history.History
	variant          variant
	former           int // the virtual router before a round

	ctx      context.Context // for the commands
	cancel   context.CancelFunc
	commands sync.WaitGroup
}

// newPair returns a pair whose hosts are off.
func newPair(w *world, v variant, both [2]settings) *pair {
	p := &pair{world: w, lan: newLAN(w), variant: v}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	macs := []string{"02:00:00:00:00:0a", "02:00:00:00:00:0b"}
	if w.random("macs").IntN(2) == 0 { // the order of the MACs does not depend on the addresses
		slices.Reverse(macs)
	}
	for i, s := range both {
		s.files = s.files.Clone()
		p.machines = append(p.machines, newMachine(p.lan, fmt.Sprintf("lb%d", i+1), macs[i], addressOf(i), s, &p.holders, &p.servers))
	}
	p.client = newClient(p.lan, "02:00:00:00:00:01")
	// The device's MAC is lower or higher than those of the hosts.
	p.device = newDevice(p.lan, []string{"02:00:00:00:00:02", "02:00:00:00:00:ff"}[w.random("macs").IntN(2)])
	return p
}

// wrong returns why the pair is not right, or "". A pair is right if one host is MASTER, holds the virtual IP and serves, the
// other is BACKUP, no host is in FAULT or reports a conflict, and the client has the right MAC.
func (p *pair) wrong() string {
	var all []string
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	var roles []string
	for i, m := range p.machines {
		role := host.RoleStopped
		if m.keepalived.vrrp != nil {
			role = m.keepalived.vrrp.state
		}
		roles = append(roles, string(role))
		if m.vip != (role == host.RoleMaster) {
			say("%s is %s, and holds the virtual IP: %t", m.name, role, m.vip)
		}
		if m.vip && m.preempts && m.priority < p.machines[1-i].priority {
			say("%s holds the virtual IP, and the other has the higher priority", m.name)
		}
		if !m.haproxy.answers() {
			say("%s does not serve", m.name)
		}
		if m.vip && p.client.at != m.mac {
			say("the client looks for the virtual IP at MAC %s, not at %s", p.client.at, m.name)
		}
		if m.wanted.Digest != m.doc.Digest || m.rejoin != nil || m.keepalived.id != *m.wanted.Spec.VRRP.RouterID {
			say("%s is not in virtual router %d: it is in %d, and waits: %t", m.name, *m.wanted.Spec.VRRP.RouterID, m.keepalived.id, m.rejoin != nil)
		}
		if r := m.told(); r.Fault || r.Conflict != "" || r.Claimed != "" || r.HAProxy != host.HAProxyAnswers {
			say("%s's agent says %q %q %q, haproxy %s", m.name, r.Reason, r.Conflict, r.Claimed, r.HAProxy)
		}
	}
	if slices.Sort(roles); !slices.Equal(roles, []string{string(host.RoleBackup), string(host.RoleMaster)}) {
		say("the hosts are %s", strings.Join(roles, " and "))
	}
	return strings.Join(all, "; ")
}

// told returns the last verdict of the agent.
func (m *machine) told() state.GuardRecord {
	if m.agent == nil {
		return state.GuardRecord{}
	}
	return m.agent.record
}

// right waits until the pair is right and has stayed right for rest. It returns the time until the pair became right, or what
// is still wrong after within. A pair can be right for a moment between two changes, for example after one of two holders has
// become BACKUP and before the other stands down. The second change still belongs to this round, and must not be judged by
// the bounds of the next fault.
func (p *pair) right(within time.Duration) (took time.Duration, wrong string) {
	began, lasts := time.Now(), time.Duration(0)
	for {
		p.Lock()
		wrong = p.wrong()
		p.Unlock()
		switch now := time.Since(began); {
		case wrong != "" && now > within:
			return now, wrong
		case wrong != "":
			took, lasts = now+look, 0
		case lasts >= rest:
			return took, ""
		}
		time.Sleep(look)
		lasts += look
	}
}

// boot starts both hosts, one up to half a second after the other.
func (p *pair) boot() {
	p.Lock()
	defer p.Unlock()
	for _, m := range p.machines {
		p.after(p.within("boot", 0, 500*time.Millisecond), m.boot)
	}
	p.client.look()
}

// end crashes the hosts, and waits until all their processes have ended.
func (p *pair) end() {
	p.Lock()
	for _, m := range p.machines {
		m.crash()
	}
	p.Unlock()
	p.cancel()
	p.commands.Wait()
	p.processes.Wait()
}
