package reconcile_test

import (
	"strings"
	"testing"

	"rlb.dev/rlb-agent/reconcile/host/fake"
)

const noHandover = spec + "vrrp: {handover: none}\n"

// TestHandoverNone: what planned moves need is removed if the spec no longer asks for it, and never added with
// vrrp.handover: none.
func TestHandoverNone(t *testing.T) {
	h := installed(t, parse(t, spec))
	for _, trace := range []string{
		"IPv4 hand-over", "local route 198.51.100.10", "sysctl net/ipv4/conf/eth0/arp_ignore=1",
		"sysctl net/ipv4/conf/all/arp_ignore=1", "sysctl net/ipv4/conf/all/arp_announce=2", // other interfaces on the same network
	} {
		if !strings.Contains(h.Dump(), trace) {
			t.Errorf("no %q:\n%s", trace, h.Dump())
		}
	}
	must(t, h, parse(t, noHandover))
	quiet(t, h, parse(t, noHandover))
	fresh := installed(t, parse(t, noHandover))
	for name, dump := range map[string]string{"taken back": h.Dump("/var/lib/rlb", "/run/rlb"), "from the first": fresh.Dump("/var/lib/rlb", "/run/rlb")} {
		for _, trace := range []string{"hand-over", "local route", "sysctl", "rlb-handover"} {
			if strings.Contains(dump, trace) {
				t.Errorf("%s: %s is there:\n%s", name, trace, dump)
			}
		}
	}
}

// TestHandoverDrift: what others removed is restored.
func TestHandoverDrift(t *testing.T) {
	h, doc := installed(t, parse(t, spec)), parse(t, spec)
	want := h.Dump()
	h.FlushHandover()
	wantLines(t, "rules", planOf(t, h, doc), "reload rlb-handover.service, because the IPv4 rules of the hand-over differ from the spec")
	must(t, h, doc)
	h.SetSysctl("net/ipv4/conf/eth0/arp_ignore", "0")
	wantLines(t, "sysctl", planOf(t, h, doc), "reload rlb-handover.service, because net/ipv4/conf/eth0/arp_ignore of the hand-over differ from the spec")
	must(t, h, doc)
	h.FlushLocalRoutes()
	wantLines(t, "routes", planOf(t, h, doc), "reload rlb-handover.service, because the local routes of the hand-over differ from the spec")
	must(t, h, doc)
	quiet(t, h, doc)
	sameText(t, "after the repairs", want, h.Dump())
}

// TestHandoverRefused: a kernel that does not support the rules is no failure, and the status says what follows.
func TestHandoverRefused(t *testing.T) {
	h, doc := fake.New(), parse(t, spec)
	h.NoHandover = "cannot use the hand-over rules: nft: No such file or directory"
	must(t, h, doc)
	quiet(t, h, doc)
	wantLines(t, "pending", statusOf(t, h, doc, nil).Pending, "planned moves are as with vrrp.handover: none: "+h.NoHandover)
}

// TestHandoverOfOtherVirtualIPs: an edit of the virtual IPs changes no unit file, so systemd need not read all units again.
// One reload loads rules and routes.
func TestHandoverOfOtherVirtualIPs(t *testing.T) {
	h := installed(t, parse(t, spec))
	more := parse(t, strings.Replace(spec, "virtualIPs: [198.51.100.10]", "virtualIPs: [198.51.100.10, 198.51.100.20]", 1))
	for _, step := range planOf(t, h, more) {
		if strings.Contains(step, ".service.d/") || strings.Contains(step, "/etc/systemd/") || strings.Contains(step, "make systemd read") {
			t.Errorf("an edit of the virtual IPs has to %s", step)
		}
	}
	must(t, h, more)
	quiet(t, h, more)
	if !strings.Contains(h.Dump(), "local route 198.51.100.20") {
		t.Errorf("the new one has no route:\n%s", h.Dump())
	}
}

// TestHandoverOnAnotherInterface: the settings of every interface on which the virtual IPs were come back in a teardown.
func TestHandoverOnAnotherInterface(t *testing.T) {
	for name, edits := range map[string][]string{
		"moved":          {"eth0", "eth1"},
		"moved and back": {"eth0", "eth1", "eth0"},
	} {
		h := hosts["packages of the administrator"]()
		h.Net = append(h.Net, of("eth1", "198.51.100.12/24"))
		h.SetSysctl("net/ipv4/conf/eth1/arp_announce", "1")
		before := timeless(h)
		for _, iface := range edits {
			must(t, h, parse(t, spec+"vrrp: {interface: "+iface+"}\n"))
		}
		mustTearDown(t, h, false)
		sameText(t, name, before, timeless(h))
	}
}
