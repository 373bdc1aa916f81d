package peers

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
)

const (
	macA, macB, macC = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"

	pairNodes = "nodes:\n- {name: lb1, addresses: [198.51.100.11]}\n- {name: lb2, addresses: [198.51.100.12], priority: 200}\n"
	trio      = pairNodes + "- {name: lb3, addresses: [198.51.100.13]}\n"
)

var start = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func addrs(texts ...string) (all []netip.Addr) {
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

// at returns the Self of a host in a role, with this spec in force.
func at(t testing.TB, node string, role host.Role, vips, more string) Self {
	t.Helper()
	text := "apiVersion: rlb.dev/v1\nkind: LoadBalancerSpec\nvirtualIPs: [" + vips + "]\nservices:\n- {name: web, port: 9000, servers: [{address: 198.51.100.21}]}\n" + more
	doc, err := api.Parse("spec.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s := SelfOf(&doc.Spec, node)
	s.Agent, s.Role, s.Serving, s.Spec.Digest, s.Spec.Generation = "v1", role, true, doc.Digest, 3
	return s
}

const vip = "198.51.100.100"

// heard returns the table of a host that has just heard these reports.
func heard(self Self, others ...Report) Table {
	t := Table{}
	t.SetSelf(self)
	for i, r := range others {
		t.Hear([]string{macB, macC, macA}[i], r, start)
	}
	return t.Mark(start)
}

func but(r Report, change func(*Report)) Report { change(&r); return r }

func TestRoundTrip(t *testing.T) {
	for name, r := range map[string]Report{
		"plain":  at(t, "lb1", host.RoleMaster, vip, pairNodes).Report,
		"all":    but(at(t, "lb2", host.RoleBackup, vip+", '2001:db8::100'", pairNodes+"vrrp: {version: 2, advertisementInterval: 40s}\n").Report, func(r *Report) { r.Goodbye, r.Drained, r.Serving, r.Spec.Trial = true, true, true, true }),
		"slow":   at(t, "lb1", host.RoleMaster, vip, pairNodes+"vrrp: {version: 2, advertisementInterval: 255s}\n").Report,
		"alone":  at(t, "host.example", host.RoleUnknown, vip, "").Report,
		"no run": but(at(t, "x", host.RoleStopped, vip, "").Report, func(r *Report) { r.Spec.Digest, r.Agent = "", "" }),
	} {
		got, err := Parse(r.Message())
		if diff := cmp.Diff(r, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); err != nil || diff != "" || !r.equal(got) {
			t.Errorf("%s: %v: -want +got:\n%s", name, err, diff)
		}
	}
	if r := SelfOf(&api.LoadBalancerSpec{VRRP: at1(t)}, "Große Maschine "+strings.Repeat("x", 200)); r.Node[:15] != "Gro-e-Maschine-" || len(r.Node) != 128 {
		t.Errorf("a host's name: %q", r.Node)
	}
}

// at1 returns the virtual router of a small spec.
func at1(t *testing.T) api.VRRP {
	t.Helper()
	doc, err := api.Parse("spec.yaml", []byte("apiVersion: rlb.dev/v1\nkind: LoadBalancerSpec\nvirtualIPs: ["+vip+"]\nservices:\n- {name: web, port: 9000, servers: [{address: 198.51.100.21}]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	return doc.Spec.VRRP
}

// with returns a copy of a message with other octets at a position.
func with(m []byte, at int, octets ...byte) []byte {
	m = append([]byte(nil), m...)
	copy(m[at:], octets)
	return m
}

func TestParseIsStrict(t *testing.T) {
	good := at(t, "lb1", host.RoleMaster, vip, "").Report.Message()
	router := 2 + 4 + digestSize + pairSize
	name := router + 7
	version := name + 4
	list := version + 3
	if _, err := Parse(good); err != nil || good[name] != 3 || good[version] != 2 || good[list] != 1 {
		t.Fatalf("%v: %x", err, good)
	}
	for what, m := range map[string][]byte{
		"empty":             nil,
		"a flag":            with(good, 0, 0x10),
		"a role":            with(good, 1, 5),
		"a generation":      with(good, 2, 0x80),
		"router id 0":       with(good, router, 0),
		"VRRP version 4":    with(good, router+1, 4),
		"priority 0":        with(good, router+2, 0),
		"priority 255":      with(good, router+2, 255),
		"interval 0":        with(good, router+3, 0, 0, 0, 0),
		"interval too long": with(good, router+3, 0xff),
		"no name":           with(good, name, 0),
		"a name too long":   with(good, name, 200),
		"a line feed":       with(good, name+1, '\n'),
		"an escape":         with(good, version+1, 0x1b),
		"no address":        with(good, list, 0),
		"21 addresses":      with(good, list, 21),
		"an odd length":     with(good, list+1, 5),
		"a group":           with(good, list+2, 224, 0, 0, 18),
		"loopback":          with(good, list+2, 127, 0, 0, 1),
		"unspecified":       with(good, list+2, 0, 0, 0, 0),
		"something behind":  append(with(good, 0, good[0]), 0),
		"twice the same":    append(with(good, list, 2), good[list+1:]...),
	} {
		if r, err := Parse(m); err == nil {
			t.Errorf("%s: %+v", what, r)
		}
	}
	for n := range good {
		if r, err := Parse(good[:n]); err == nil {
			t.Errorf("%d octets: %+v", n, r)
		}
	}
}

// FuzzParse: a report that Parse accepts is safe to print, bounded in size, and encodes to the same message.
func FuzzParse(f *testing.F) {
	f.Add([]byte{})
	for _, r := range []Self{at(f, "lb1", host.RoleMaster, vip, ""), at(f, "lb2", host.RoleBackup, vip+", '2001:db8::100'", pairNodes)} {
		f.Add(r.Message())
	}
	f.Fuzz(func(t *testing.T, m []byte) {
		r, err := Parse(m)
		if err != nil {
			return
		}
		if got := r.Message(); string(got) != string(m) {
			t.Errorf("%x is read as %+v, which is %x", m, r, got)
		}
		for _, text := range []string{r.Node, r.Agent, r.Spec.Digest, r.Spec.Pair} {
			if len(text) > maxName || !printable([]byte(text)) {
				t.Errorf("%q", text)
			}
		}
		self := Self{Report: r}
		table := Table{}
		table.SetSelf(self)
		table.Hear(macB, r, start)
		table = table.Mark(start)
		for _, v := range []Verdict{table.InSync(start), table.Redundant(start)} {
			if v.Reason == "" || v.Status == "" || len(v.Message) > 8000 {
				t.Errorf("%+v", v)
			}
		}
	})
}
