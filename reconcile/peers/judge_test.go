package peers

import (
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

func wants(t *testing.T, name string, got Verdict, status, reason, message string) {
	t.Helper()
	if got.Status != status || got.Reason != reason || got.Message != message {
		t.Errorf("%s:\n got %s %s %q\nwant %s %s %q", name, got.Status, got.Reason, got.Message, status, reason, message)
	}
}

const silentText = " runs no agent that is heard here (nothing came in the last 30s)"

var goodbyeText = " said goodbye at " + start.Local().Format(time.TimeOnly) + " (stopped, or torn down)"

func TestInSync(t *testing.T) {
	const two = vip + ", 198.51.100.101"
	lb1 := at(t, "lb1", host.RoleMaster, two, pairNodes)
	same := at(t, "lb2", host.RoleBackup, two, pairNodes).Report
	other := func(vips, more string) Report { return at(t, "lb2", host.RoleBackup, vips, more).Report }
	advert := func(text string, version, priority int, interval time.Duration, vips ...string) Advert {
		return Advert{Router{lb1.Spec.Router.ID, version, priority, interval, addrs(vips...)}, addrs(text)[0], macB, start}
	}
	const hint = ": rlb-agent push or copy the spec"
	for name, c := range map[string]struct {
		table                   Table
		status, reason, message string
	}{
		"the same file":    {heard(lb1, same), isTrue, "SameSpec", ""},
		"nobody":           {heard(lb1), isUnknown, "PeerSilent", "lb2" + silentText},
		"no daemon":        {Table{}, isUnknown, "AgentNotRunning", unheard.Message},
		"fewer":            {heard(lb1, other(vip, pairNodes)), isFalse, "SpecDiffers", "lb2 has 1 address, this spec has 2 (missing there: 198.51.100.101)" + hint},
		"more":             {heard(lb1, other(two+", 198.51.100.102", pairNodes)), isFalse, "SpecDiffers", "lb2 has 3 addresses, this spec has 2 (missing here: 198.51.100.102)" + hint},
		"quite another":    {heard(lb1, other("198.51.100.77", pairNodes)), isFalse, "SpecDiffers", "lb2 has 1 address, this spec has 2 (missing there: 198.51.100.100, 198.51.100.101) (missing here: 198.51.100.77); lb2 has router id 77, this spec has 100" + hint},
		"the version":      {heard(lb1, other(two, pairNodes+"vrrp: {version: 2}\n")), isFalse, "SpecDiffers", "lb2 has VRRP version 2, this spec has 3; lb2 has the interval 1s, this spec has 100ms" + hint},
		"something else":   {heard(lb1, but(other(two, pairNodes+"proxy: {retries: 7}\n"), func(r *Report) { r.Spec.Digest = strings.Repeat("ab", 32) })), isFalse, "SpecDiffers", "lb2 has another spec in force, generation 3 (sha256:abababababab), this host has generation 3 (sha256:" + lb1.Spec.Digest[:12] + ")" + hint},
		"a trial there":    {heard(lb1, but(other(vip, pairNodes), func(r *Report) { r.Spec.Trial = true })), isFalse, "SpecDiffers", "lb2 tries another spec"},
		"goodbye":          {heard(lb1, but(same, func(r *Report) { r.Goodbye = true })), isUnknown, "PeerSilent", "the agent of lb2" + goodbyeText},
		"no nodes":         {heard(at(t, "a", host.RoleMaster, vip, ""), at(t, "b", host.RoleBackup, vip, "").Report), isTrue, "SameSpec", ""},
		"no nodes, nobody": {heard(at(t, "a", host.RoleMaster, vip, "")), isUnknown, "NoPeer", "no other host runs an agent for these virtual IPs"},
		"no nodes, more":   {heard(at(t, "a", host.RoleMaster, vip, ""), at(t, "b", host.RoleBackup, two, "").Report), isFalse, "SpecDiffers", "b has 2 addresses, this spec has 1 (missing here: 198.51.100.101)" + hint},
		"one node":         {heard(at(t, "lb1", host.RoleMaster, vip, "nodes: [{name: lb1, addresses: [198.51.100.11]}]\n")), isUnknown, "NoPeer", "the spec names no other node"},
		"one of three":     {heard(at(t, "lb1", host.RoleMaster, vip, trio), at(t, "lb2", host.RoleBackup, vip, trio).Report), isUnknown, "PeerSilent", "lb3" + silentText},
		"goodbye of three": {heard(at(t, "lb1", host.RoleMaster, vip, trio), but(at(t, "lb3", host.RoleBackup, vip, trio).Report, func(r *Report) { r.Goodbye = true })), isUnknown, "PeerSilent", "the agent of lb3" + goodbyeText + "; lb2" + silentText},
	} {
		wants(t, name, c.table.InSync(start), c.status, c.reason, c.message)
	}

	// advertisements count if no agent is heard
	for name, c := range map[string]struct {
		advert  Advert
		message string
	}{
		"as the spec says": {advert("198.51.100.12", 3, 200, 100*time.Millisecond, "198.51.100.100", "198.51.100.101"), "lb2" + silentText},
		"one address":      {advert("198.51.100.12", 3, 200, 100*time.Millisecond, "198.51.100.100"), "lb2 advertises 1 address, this spec has 2 (missing there: 198.51.100.101)" + hint},
		"priority":         {advert("198.51.100.12", 3, 254, 100*time.Millisecond, "198.51.100.100", "198.51.100.101"), "lb2 advertises priority 254, this spec has 200" + hint},
		"interval":         {advert("198.51.100.12", 3, 200, time.Second, "198.51.100.100", "198.51.100.101"), "lb2 advertises the interval 1s, this spec has 100ms" + hint},
		"by IPv6":          {advert("fe80::2", 3, 200, 100*time.Millisecond, "2001:db8::100"), "lb2 advertises 1 address, this spec has 0 (missing here: 2001:db8::100)" + hint},
		"goodbye":          {advert("198.51.100.12", 3, 0, 100*time.Millisecond, "198.51.100.100"), "lb2" + silentText},
	} {
		table := heard(lb1)
		table.HearAdverts([]Advert{c.advert})
		if got := table.InSync(start); got.Message != c.message || got.Status != map[bool]string{true: isUnknown, false: isFalse}[strings.HasPrefix(c.message, "lb2 runs")] {
			t.Errorf("%s: %+v", name, got)
		}
		table.Hear(macB, same, start)
		wants(t, name+", but the agent is heard", table.InSync(start), isTrue, "SameSpec", "")
	}
	stranger := heard(lb1)
	stranger.HearAdverts([]Advert{{Router{7, 3, 254, time.Second, addrs("198.51.100.7")}, addrs("198.51.100.99")[0], macC, start}})
	wants(t, "another pair", stranger.InSync(start), isUnknown, "PeerSilent", "lb2"+silentText)
}

func TestRedundant(t *testing.T) {
	self := func(role host.Role) Self { return at(t, "lb1", role, vip, pairNodes) }
	lb2 := func(role host.Role, changes ...func(*Report)) Report {
		r := at(t, "lb2", role, vip, pairNodes).Report
		for _, change := range changes {
			change(&r)
		}
		return r
	}
	drained := func(r *Report) { r.Drained = true }
	idle := func(r *Report) { r.Serving = false }
	bye := func(r *Report) { r.Goodbye = true }
	outSelf := self(host.RoleBackup)
	outSelf.Drained = true
	three := at(t, "lb1", host.RoleMaster, vip, trio)
	of3 := func(node string, role host.Role) Report { return at(t, node, role, vip, trio).Report }
	for name, c := range map[string]struct {
		table                   Table
		status, reason, message string
	}{
		"a standby":            {heard(self(host.RoleMaster), lb2(host.RoleBackup)), isTrue, "StandbyReady", "lb2 is ready to take over from this host"},
		"as a standby":         {heard(self(host.RoleBackup), lb2(host.RoleMaster)), isTrue, "StandbyReady", "this host is ready to take over from lb2"},
		"no daemon":            {Table{}, isUnknown, "AgentNotRunning", unheard.Message},
		"drained":              {heard(self(host.RoleMaster), lb2(host.RoleFault, drained)), isFalse, "NoStandby", "lb2 cannot serve: it is drained"},
		"drained, yet BACKUP":  {heard(self(host.RoleMaster), lb2(host.RoleBackup, drained)), isFalse, "NoStandby", "lb2 cannot serve: it is drained"},
		"FAULT":                {heard(self(host.RoleMaster), lb2(host.RoleFault)), isFalse, "NoStandby", "lb2 cannot serve: it is in FAULT"},
		"FAULT, and why":       {heard(self(host.RoleMaster), lb2(host.RoleFault, idle)), isFalse, "NoStandby", "lb2 cannot serve: it is in FAULT, HAProxy does not serve"},
		"stopped":              {heard(self(host.RoleMaster), lb2(host.RoleStopped)), isFalse, "NoStandby", "lb2 cannot serve: keepalived does not run"},
		"HAProxy":              {heard(self(host.RoleMaster), lb2(host.RoleBackup, idle)), isFalse, "NoStandby", "lb2 cannot serve: HAProxy does not serve"},
		"goodbye":              {heard(self(host.RoleMaster), lb2(host.RoleBackup, bye)), isFalse, "NoStandby", "lb2 cannot serve: its agent said goodbye (stopped, or torn down)"},
		"an address less":      {heard(at(t, "lb1", host.RoleMaster, vip+", 198.51.100.101", pairNodes), lb2(host.RoleBackup)), isFalse, "NoStandby", "lb2 cannot serve: it has other virtual IPs than this host"},
		"silence":              {heard(self(host.RoleMaster)), isUnknown, "PeerSilent", "lb2" + silentText},
		"out, in silence":      {heard(outSelf), isFalse, "NoStandby", "this host cannot serve: it is drained; lb2" + silentText},
		"out":                  {heard(outSelf, lb2(host.RoleMaster)), isFalse, "NoStandby", "this host cannot serve: it is drained"},
		"two MASTERs":          {heard(self(host.RoleMaster), lb2(host.RoleMaster)), isFalse, "NoStandby", "more than one host is MASTER, and none is BACKUP"},
		"no MASTER":            {heard(self(host.RoleBackup), lb2(host.RoleBackup)), isFalse, "NoStandby", "no host is MASTER"},
		"role not known":       {heard(self(host.RoleMaster), lb2(host.RoleUnknown)), isUnknown, "PeerSilent", "the role of lb2 is not known"},
		"no nodes":             {heard(at(t, "a", host.RoleMaster, vip, ""), at(t, "b", host.RoleBackup, vip, "").Report), isTrue, "StandbyReady", "b is ready to take over from this host"},
		"no nodes, nobody":     {heard(at(t, "a", host.RoleMaster, vip, "")), isUnknown, "PeerSilent", "no other host runs an agent for these virtual IPs"},
		"one node":             {heard(at(t, "lb1", host.RoleMaster, vip, "nodes: [{name: lb1, addresses: [198.51.100.11]}]\n")), isFalse, "NoStandby", "the spec names no other node"},
		"one of three is well": {heard(three, of3("lb2", host.RoleBackup)), isTrue, "StandbyReady", "lb2 is ready to take over from this host"},
		"the third may be":     {heard(three, of3("lb2", host.RoleFault)), isUnknown, "PeerSilent", "lb2 cannot serve: it is in FAULT; lb3" + silentText},
		"two others":           {heard(at(t, "lb1", host.RoleFault, vip, trio), of3("lb2", host.RoleMaster), of3("lb3", host.RoleBackup)), isTrue, "StandbyReady", "lb3 is ready to take over from lb2; this host cannot serve: it is in FAULT"},
		"the third cannot":     {heard(three, of3("lb2", host.RoleBackup), of3("lb3", host.RoleFault)), isTrue, "StandbyReady", "lb2 is ready to take over from this host; lb3 cannot serve: it is in FAULT"},
	} {
		wants(t, name, c.table.Redundant(start), c.status, c.reason, c.message)
		c.table.Since = start.Add(-patience + 1) // too short a time to judge silence
		if c.reason == "PeerSilent" {
			c.reason, c.message = Listening, "this host's agent has just begun to listen: "+c.message
		}
		wants(t, name+", just started", c.table.Redundant(start), c.status, c.reason, c.message)
	}
}
