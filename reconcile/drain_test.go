package reconcile_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

const (
	wordOut = "1\n"
	wordIn  = "0\n"
)

// drainer drains or undrains.
type drainer func(context.Context, *reconcile.Reconciler, *api.Document) (reconcile.Result, error)

func drain(force bool) drainer {
	return func(ctx context.Context, r *reconcile.Reconciler, doc *api.Document) (reconcile.Result, error) {
		return r.Drain(ctx, doc, force, 0)
	}
}

func undrain(ctx context.Context, r *reconcile.Reconciler, doc *api.Document) (reconcile.Result, error) {
	return r.Undrain(ctx, doc)
}

// draining runs do on a host with the spec in force.
func draining(t *testing.T, h *fake.Host, do drainer) (result reconcile.Result, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		doc, lastErr := state.LastGood(t.Context(), h)
		if lastErr != nil {
			t.Fatal(lastErr)
		}
		result, err = do(t.Context(), &reconcile.Reconciler{Host: h, Log: slog.New(slog.DiscardHandler)}, doc)
	})
	return result, err
}

func trackedText(t *testing.T, h *fake.Host) string {
	t.Helper()
	f, err := h.File(t.Context(), render.DrainFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(f.Data)
}

// TestDrainIsNoted: the user and the time of a drain are recorded, and forgotten after undrain.
func TestDrainIsNoted(t *testing.T) {
	h := installed(t, port(t, 9000))
	synctest.Test(t, func(t *testing.T) {
		doc, err := state.LastGood(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		r := &reconcile.Reconciler{Host: h, Log: discard, By: "alice"}
		if _, err := r.Drain(t.Context(), doc, true, 0); err != nil {
			t.Fatal(err)
		}
		if got, err := state.ReadDrain(t.Context(), h); err != nil || got.By != "alice" || got.Since.IsZero() {
			t.Errorf("drained: %+v, %v", got, err)
		}
		if _, err := r.Undrain(t.Context(), doc); err != nil {
			t.Fatal(err)
		}
		if got, err := state.ReadDrain(t.Context(), h); err != nil || got != (state.DrainRecord{}) {
			t.Errorf("undrained: %+v, %v", got, err)
		}
	})
}

// TestDrain: a drain needs a peer that answers, and succeeds only if a peer takes over.
func TestDrain(t *testing.T) {
	const peer, vip = "198.51.100.12", "198.51.100.10"
	for name, c := range map[string]struct {
		nodes   string
		master  bool
		answers []string
		force   bool
		want    string // in the tracked file
		says    string
	}{
		"the peer takes over":         {pairNodes, true, []string{peer, vip}, false, wordOut, ""},
		"a standby":                   {pairNodes, false, nil, false, wordOut, ""},
		"no peer answers":             {pairNodes, true, nil, false, "", "none of its peers [198.51.100.12] answers"},
		"no peer answers, forced":     {pairNodes, true, nil, true, wordOut, ""},
		"no peer is known":            {"", true, nil, false, wordIn, "within 1.001s, and the spec names no nodes"},
		"an unknown peer takes over":  {"", true, []string{vip}, false, wordOut, ""},
		"no peer is known, forced":    {"", true, nil, true, wordOut, ""},
		"the peer does not take over": {pairNodes, true, []string{peer}, false, wordIn, "although peers answer"},
		"of three, the third alone":   {nodesOf(3), true, []string{"198.51.100.13", vip}, false, wordOut, ""},
		"of seven, the last alone":    {nodesOf(7), true, []string{"198.51.100.17", vip}, false, wordOut, ""},
		"of seven, none":              {nodesOf(7), true, []string{vip}, false, "", "198.51.100.16 198.51.100.17] answers"},
		"of seven, none takes over":   {nodesOf(7), true, []string{peer, "198.51.100.17"}, false, wordIn, "although peers answer"},
	} {
		t.Run(name, func(t *testing.T) {
			h := fake.New()
			must(t, h, parse(t, spec+c.nodes))
			h.Answers = map[netip.Addr]string{}
			for _, addr := range c.answers {
				h.Answers[netip.MustParseAddr(addr)] = "02:00:00:00:00:0c"
			}
			if c.master {
				hold(h, vip)
			}
			_, err := draining(t, h, drain(c.force))
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || !errors.Is(err, reconcile.ErrNotTaken)) {
				t.Errorf("error %v, want %q", err, c.says)
			}
			if got := trackedText(t, h); got != c.want {
				t.Errorf("the tracked file says %q, want %q", got, c.want)
			}
			if s := statusOf(t, h, parse(t, spec+c.nodes), nil); s.Drained != (c.want == wordOut) || s.Drained == s.DrainedSince.IsZero() {
				t.Errorf("drained %t since %v", s.Drained, s.DrainedSince)
			}
			quiet(t, h, parse(t, spec+c.nodes)) // a drain is no drift
			if _, err := draining(t, h, undrain); err != nil {
				t.Error(err)
			}
			if got := trackedText(t, h); got != wordIn {
				t.Errorf("undrained, the tracked file says %q", got)
			}
		})
	}
}

// TestDrainClassic: a keepalived that tracks no file is stopped. It stays stopped across runs and boots until undrain.
func TestDrainClassic(t *testing.T) {
	h := fake.New()
	doc := parse(t, spec+"profile: classic\n")
	must(t, h, doc)
	result, err := draining(t, h, drain(false))
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, "drain", texts(result.Steps), "stop keepalived.service", "disable keepalived.service")
	quiet(t, h, doc)
	edit := parse(t, strings.Replace(spec, "9000", "9001", 1)+"profile: classic\n")
	must(t, h, edit)
	if u, _ := h.Unit(t.Context(), "keepalived.service"); u.Active() || u.Enabled() {
		t.Errorf("an edit brought keepalived back: %+v", u)
	}
	if result, err = draining(t, h, undrain); err != nil {
		t.Fatal(err)
	}
	wantLines(t, "undrain", texts(result.Steps), "enable keepalived.service", "start keepalived.service")
	quiet(t, h, edit)

	// then switch to a keepalived that tracks the file
	if _, err = draining(t, h, drain(false)); err != nil {
		t.Fatal(err)
	}
	must(t, h, parse(t, spec))
	if u, _ := h.Unit(t.Context(), "keepalived.service"); !u.Active() || !u.Enabled() {
		t.Errorf("keepalived is not there to track the file: %+v", u)
	}
}

// TestDrainFails: a drain that fails is not recorded.
func TestDrainFails(t *testing.T) {
	h := fake.New()
	must(t, h, parse(t, spec+"profile: classic\n"))
	h.FailMethod("StopUnit", errors.New("no"))
	if _, err := draining(t, h, drain(false)); err == nil {
		t.Error("no error")
	}
	if is, _ := state.Drained(t.Context(), h); is {
		t.Error("it counts as drained")
	}
	if _, err := draining(t, fake.New(), drain(false)); !errors.Is(err, host.ErrUnavailable) {
		t.Errorf("drained a host without a spec in force: %v", err)
	}
}

// perInterface is a host whose peers answer for an address only on its own interface, as with arp_ignore=1.
type perInterface struct {
	*fake.Host
	on map[string][]netip.Addr
}

func (h perInterface) Neighbours(_ context.Context, iface string, addrs []netip.Addr) (map[netip.Addr]string, error) {
	found := map[netip.Addr]string{}
	for _, addr := range h.on[iface] {
		if slices.Contains(addrs, addr) {
			found[addr] = "02:00:00:00:00:0c"
		}
	}
	return found, nil
}

// TestDrainInterfaces: a virtual IP on another interface than that of the advertisements is asked for there.
func TestDrainInterfaces(t *testing.T) {
	peer, vip, other := netip.MustParseAddr("198.51.100.12"), netip.MustParseAddr("198.51.100.10"), netip.MustParseAddr("203.0.113.9")
	for name, c := range map[string]struct {
		eth1 []netip.Addr
		want string
	}{
		"the peer takes both":     {[]netip.Addr{other}, wordOut},
		"the peer takes one only": {nil, wordIn},
	} {
		t.Run(name, func(t *testing.T) {
			h := fake.New()
			h.Net = append(h.Net, host.Interface{Name: "eth1", Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.1/24")}})
			doc := parse(t, strings.Replace(spec, "[198.51.100.10]", "[198.51.100.10, {address: 203.0.113.9/24, interface: eth1}]", 1)+pairNodes)
			must(t, h, doc)
			hold(h, vip.String())
			on := perInterface{h, map[string][]netip.Addr{"eth0": {peer, vip}, "eth1": c.eth1}}
			synctest.Test(t, func(t *testing.T) {
				_, err := (&reconcile.Reconciler{Host: on, Log: discard}).Drain(t.Context(), doc, false, 0)
				if errors.Is(err, reconcile.ErrNotTaken) != (c.want == wordIn) {
					t.Error(err)
				}
			})
			if got := trackedText(t, h); got != c.want {
				t.Errorf("the tracked file says %q, want %q", got, c.want)
			}
		})
	}
}
