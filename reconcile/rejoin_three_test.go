package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
	"rlb.dev/rlb-agent/render/vrrp"
)

// three models the three hosts of one spec on a LAN: which of them keepalived elects as master, and which rlb-rejoin lets
// join.
type three struct {
	*testing.T
	hosts  [3]*fake.Host
	specs  [3]*api.Document
	ids    [3]vrrp.Identity // identity with which keepalived runs
	pids   [3]int           // its process; 0: it does not run
	master [3]bool
}

// newThree returns three hosts that run a spec.
func newThree(t *testing.T, doc *api.Document) *three {
	l := &three{T: t}
	for i := range l.hosts {
		l.hosts[i] = fake.New()
		l.hold(i, doc, false)
		l.specs[i] = doc
		must(t, l.hosts[i], doc)
	}
	l.settle()
	return l
}

// hold gives a host its own address, and the virtual IPs if it is master.
func (l *three) hold(i int, doc *api.Document, master bool) {
	h := l.hosts[i]
	h.Role, h.Net[1].Prefixes = host.RoleBackup, []netip.Prefix{netip.PrefixFrom(addrOf(i), 24)}
	if !master {
		return
	}
	h.Role = host.RoleMaster
	for _, v := range doc.Spec.VirtualIPs {
		h.Net[1].Prefixes = append(h.Net[1].Prefixes, netip.PrefixFrom(v.Addr(), 32))
	}
}

func addrOf(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, 100, byte(11 + i)}) }

// elect returns the masters once keepalived has noticed the changes; left is a host whose keepalived is stopped, or -1. A
// backup that was started or changed drops advertisements with another number of addresses; a backup that knows its master
// accepts them (keepalived.conf(5), vrrp_skip_check_adv_addr).
func (l *three) elect(left int) (master [3]bool) {
	var now three
	var anew [3]bool
	for i, h := range l.hosts {
		u, err := h.Unit(l.Context(), host.KeepalivedUnit)
		if err != nil {
			l.Fatal(err)
		}
		if u.Active() && i != left {
			now.pids[i] = u.MainPID
		}
		now.ids[i] = vrrp.Identities([]byte(h.Text(render.DefaultKeepalivedConfig)))[0]
		anew[i] = now.pids[i] != l.pids[i] || !sameRouter(now.ids[i], l.ids[i]) || !l.master[i] && now.ids[i] != l.ids[i]
		master[i] = l.master[i] && now.pids[i] > 0 && !anew[i]
	}
	if left < 0 {
		l.ids, l.pids = now.ids, now.pids
	}
	for i := len(master) - 1; i >= 0; i-- { // at equal priority the highest address wins
		hears := func(j int) bool {
			return master[j] && sameRouter(now.ids[i], now.ids[j]) && (!anew[i] || now.ids[i].Addresses == now.ids[j].Addresses)
		}
		if now.pids[i] > 0 && !hears(0) && !hears(1) && !hears(2) {
			master[i] = true
		}
	}
	return master
}

func sameRouter(a, b vrrp.Identity) bool {
	return a.RouterID == b.RouterID && a.Version == b.Version && a.Unicast == b.Unicast
}

// hear gives a host the advertisements that it hears while its keepalived is stopped.
func (l *three) hear(i int) {
	master := l.elect(i)
	l.hosts[i].Adverts = nil
	for j, is := range master {
		if is {
			l.hosts[i].Adverts = append(l.hosts[i].Adverts, vrrp.Identities([]byte(l.hosts[j].Text(render.DefaultKeepalivedConfig)))...)
		}
	}
}

// settle elects, and does the work of rlb-rejoin, until nothing changes any more. One host is master all the time.
func (l *three) settle() {
	l.Helper()
	for again := true; again; {
		l.master = l.elect(-1)
		for i := range l.hosts {
			l.hold(i, l.specs[i], l.master[i])
		}
		if l.holder() < 0 {
			l.Fatalf("masters: %v, as %v", l.master, l.ids)
		}
		again = false
		for i, h := range l.hosts {
			former, err := state.ReadFormer(l.Context(), h)
			if err != nil {
				l.Fatal(err)
			}
			if u, _ := h.Unit(l.Context(), host.RejoinUnit); !u.Active() || former == nil {
				continue
			}
			l.hear(i)
			if heard, err := h.HearsRouter(l.Context(), former.Interface, former.Identities, former.From, 0); err != nil || heard {
				continue
			}
			again = true
			h.Admin(func(ctx context.Context, h host.Host) error {
				return errors.Join(h.StartUnit(ctx, host.KeepalivedUnit), former.Forget(ctx, h), h.StopUnit(ctx, host.RejoinUnit))
			})
		}
	}
}

// holder is the only master; -1 if there is none or more than one.
func (l *three) holder() int {
	only := slices.Index(l.master[:], true)
	if only >= 0 && slices.Contains(l.master[only+1:], true) {
		return -1
	}
	return only
}

// TestRejoinOfThree: the virtual router of three hosts is edited on one host after the other, in each order. One host is
// master all the time, and in the end all are in the new router. The edit costs one failover for the active host, and at
// most one more for each host that changes later.
func TestRejoinOfThree(t *testing.T) {
	before := spec + nodesOf(3)
	for _, edit := range []struct {
		name, spec string
		inPlace    bool // the active host is reloaded, so nothing moves
	}{
		{"another router id", before + "vrrp: {routerID: 7}\n", false},
		{"unicast", before + "vrrp: {transport: unicast}\n", false},
		{"classic", before + "profile: classic\nvrrp: {interface: eth0}\n", false},
		{"another main virtual IP", strings.Replace(before, "198.51.100.10]", "198.51.100.20, 198.51.100.10]", 1), false},
		{"one virtual IP more", strings.Replace(before, "198.51.100.10]", "198.51.100.10, 198.51.100.20]", 1), true},
	} {
		for _, order := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
			t.Run(fmt.Sprintf("%s, %v", edit.name, order), func(t *testing.T) {
				l, doc := newThree(t, parse(t, before)), parse(t, edit.spec)
				active := l.holder()
				moves, most := 0, len(order)-slices.Index(order[:], active)
				if edit.inPlace {
					most = 0
				}
				for _, i := range order {
					was := l.holder()
					l.hear(i)
					l.specs[i] = doc
					l.hold(i, doc, l.master[i]) // a reloaded master has the new addresses at once
					must(t, l.hosts[i], doc)
					l.settle()
					if l.holder() != was {
						moves++
					}
				}
				if moves > most {
					t.Errorf("%d failovers, want at most %d", moves, most)
				}
				for i, h := range l.hosts {
					if l.pids[i] == 0 || !sameRouter(l.ids[i], l.ids[0]) || l.ids[i].Addresses != l.ids[0].Addresses {
						t.Errorf("host %d has keepalived %d, %v; host 0 %v", i, l.pids[i], l.ids[i], l.ids[0])
					}
					quiet(t, h, doc)
				}
			})
		}
	}
}
