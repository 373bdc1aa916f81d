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

// pair is two hosts on a LAN, and who else is there.
type pair struct {
	*world
	lan              *lan
	machines         []*machine
	client           *client
	device           *device
	holders, servers history.History
	variant          variant
	former           int // the virtual router before a round

	ctx      context.Context // of the commands
	cancel   context.CancelFunc
	commands sync.WaitGroup
}

// newPair is a pair whose hosts are off.
func newPair(w *world, v variant, both [2]settings) *pair {
	p := &pair{world: w, lan: newLAN(w), variant: v}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	macs := []string{"02:00:00:00:00:0a", "02:00:00:00:00:0b"}
	if w.random("macs").IntN(2) == 0 { // whose is higher has nothing to do with the addresses
		slices.Reverse(macs)
	}
	for i, s := range both {
		s.files = s.files.Clone()
		p.machines = append(p.machines, newMachine(p.lan, fmt.Sprintf("lb%d", i+1), macs[i], addressOf(i), s, &p.holders, &p.servers))
	}
	p.client = newClient(p.lan, "02:00:00:00:00:01")
	// Its MAC is lower or higher than theirs.
	p.device = newDevice(p.lan, []string{"02:00:00:00:00:02", "02:00:00:00:00:ff"}[w.random("macs").IntN(2)])
	return p
}

// wrong is why the pair is not right: one host is MASTER, holds the virtual IP and serves, the other is its BACKUP, nobody
// is in FAULT or sees a conflict, and the client knows the way. It is "" where all is well.
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

// told is the last verdict of the agent.
func (m *machine) told() state.GuardRecord {
	if m.agent == nil {
		return state.GuardRecord{}
	}
	return m.agent.record
}

// right waits until the pair is right and stays so for a while, and says how long it took to become right, or what is still
// wrong after so long. Between two changes it can be right for a moment, as when one of two holders has given way and the
// other is about to stand down. What follows then still belongs to this round, and is not judged by the next fault's bounds.
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

// end crashes the hosts, and waits until all that ran there has ended.
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
