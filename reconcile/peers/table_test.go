package peers

import (
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// TestExpiry: a report counts for 30 s, a goodbye for a day.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var table Table
		table.SetSelf(at(t, "lb1", host.RoleMaster, vip, pairNodes))
		lb2 := at(t, "lb2", host.RoleBackup, vip, pairNodes).Report
		redundant := func() string { return table.Mark(time.Now()).Redundant(time.Now()).Status }
		if !table.Hear(macB, lb2, time.Now()) || table.Hear(macB, lb2, time.Now()) {
			t.Error("what is news is not known")
		}
		if since := table.Peers[0].Since; !since.IsZero() {
			t.Errorf("heard for the first time, it had its role since %v", since)
		}
		table.Hear(macB, but(lb2, func(r *Report) { r.Role = host.RoleMaster }), time.Now())
		took := time.Now()
		time.Sleep(Life / 2)
		table.Hear(macB, but(lb2, func(r *Report) { r.Role = host.RoleMaster }), time.Now())
		if since := table.Peers[0].Since; !since.Equal(took) {
			t.Errorf("another role since %v, want %v", since, took)
		}
		table.Hear(macB, lb2, time.Now())
		time.Sleep(Life)
		if changed := table.Expire(time.Now()); changed || redundant() != isTrue {
			t.Errorf("after %v: %t, %+v", Life, changed, table)
		}
		time.Sleep(time.Second)
		if got := redundant(); got != isUnknown {
			t.Errorf("after 31 s, before it is forgotten: %s", got)
		}
		if changed := table.Expire(time.Now()); !changed || len(table.Peers) > 0 {
			t.Errorf("after 31 s: %t, %+v", changed, table)
		}
		table.Hear(macB, lb2, time.Now())
		table.Hear(macB, but(lb2, func(r *Report) { r.Goodbye = true }), time.Now())
		time.Sleep(time.Hour)
		if table.Expire(time.Now()); redundant() != isFalse {
			t.Errorf("an hour after the goodbye: %+v", table)
		}
		if table.Hear(macC, lb2, time.Now()); redundant() != isTrue { // from another MAC
			t.Errorf("it is back: %+v", table)
		}
		table.Hear(macC, but(lb2, func(r *Report) { r.Goodbye = true }), time.Now())
		time.Sleep(25 * time.Hour)
		if table.Expire(time.Now()); len(table.Peers) > 0 {
			t.Errorf("a day after the goodbye: %+v", table)
		}
		table.HearAdverts([]Advert{{table.Self.Spec.Router, addrs("198.51.100.12")[0], macB, time.Now()}})
		time.Sleep(Life + time.Second)
		if table.Expire(time.Now()); len(table.Adverts) > 0 {
			t.Errorf("an old advertisement: %+v", table)
		}
		if got := table.Mark(time.Now().Add(-31 * time.Second)).Redundant(time.Now()); got != unheard {
			t.Errorf("of a file that nobody writes: %+v", got)
		}
	})
}

// TestForgeries: the first MAC that reports for a node keeps the node's name, and a table holds no host that is no peer.
func TestForgeries(t *testing.T) {
	self := at(t, "lb1", host.RoleMaster, vip, pairNodes)
	lb2 := at(t, "lb2", host.RoleBackup, vip, pairNodes).Report
	table := heard(self, lb2)
	forged := but(lb2, func(r *Report) { r.Goodbye, r.Drained, r.Spec.Digest = true, true, "" })
	if table.Hear(macC, forged, start.Add(Life)) || table.Redundant(start).Status != isTrue {
		t.Errorf("another MAC speaks for lb2: %+v", table)
	}
	if !table.Hear(macC, lb2, start.Add(Life+time.Second)) && table.Peers[0].MAC != macC {
		t.Errorf("silent for long, lb2 has another MAC: %+v", table)
	}
	for name, r := range map[string]Report{
		"myself":              self.Report,
		"no node":             at(t, "lb9", host.RoleBackup, vip, pairNodes).Report,
		"lb2 of another pair": at(t, "lb2", host.RoleBackup, "198.51.100.55", "").Report,
	} {
		table := heard(self, r)
		if len(table.Peers) > 0 {
			t.Errorf("%s: %+v", name, table)
		}
	}
	// without nodes, any number of hosts may report
	alone := heard(at(t, "a", host.RoleMaster, vip, ""))
	for i := range 1000 {
		r := lb2
		r.Node = fmt.Sprintf("b%d", i)
		alone.Hear(fmt.Sprintf("02:00:00:00:%02x:%02x", i/256, i%256), but(r, func(r *Report) { r.Goodbye = i == 3 }), start)
	}
	if data, err := json.Marshal(alone); err != nil || len(alone.Peers) != maxPeers || len(data) > 16<<10 {
		t.Errorf("%d peers in %d octets: %v", len(alone.Peers), len(data), err)
	}
	if alone.Hear(macC, at(t, "c", host.RoleMaster, "198.51.100.55", "").Report, start) {
		t.Error("a host of another virtual router")
	}
	many := make([]Advert, 100)
	for i := range many {
		many[i] = Advert{alone.Self.Spec.Router, addrs(fmt.Sprintf("198.51.100.%d", i+1))[0], macC, start}
	}
	if alone.HearAdverts(many); len(alone.Adverts) != maxPeers {
		t.Errorf("%d advertisements", len(alone.Adverts))
	}
	edited := at(t, "a", host.RoleMaster, "198.51.100.55", "")
	if alone.SetSelf(edited); len(alone.Peers)+len(alone.Adverts) > 0 {
		t.Errorf("after an edit, those of the former virtual router are known: %+v", alone)
	}
}
