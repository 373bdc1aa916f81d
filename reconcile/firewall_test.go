package reconcile_test

import (
	"slices"
	"testing"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/render"
)

// TestFirewallDrift: a run restores one jump, first in INPUT, and the wanted chain. The host's own rules keep their order.
func TestFirewallDrift(t *testing.T) {
	doc := parse(t, spec)
	for name, drift := range map[string][]string{
		"jump is not first":        {"-I INPUT 1 -j DROP"},
		"jump is there twice":      {"-A INPUT -j RLB-INPUT"},
		"twice, and not first":     {"-I INPUT 1 -j DROP", "-A INPUT -j RLB-INPUT", "-A INPUT -s 192.0.2.1/32 -j ACCEPT"},
		"no jump":                  {"-D INPUT -j RLB-INPUT", "-A INPUT -j DROP"},
		"chain was emptied":        {"-F RLB-INPUT"},
		"chain has one more":       {"-A RLB-INPUT -j DROP"},
		"chain has another order":  {"-D RLB-INPUT -i eth0 -p 112 -j DROP", "-I RLB-INPUT 1 -i eth0 -p 112 -j DROP"},
		"everything was flushed":   {"-F INPUT", "-F RLB-INPUT", "-X RLB-INPUT"},
		"chain is there, no jumps": {"-F INPUT"},
	} {
		t.Run(name, func(t *testing.T) {
			h := installed(t, doc)
			want := firewall(t, h, api.IPv4)
			h.Iptables(api.IPv4, drift...)
			others := slices.DeleteFunc(firewall(t, h, api.IPv4).Input, func(r string) bool { return r == render.Jump })
			if steps := planOf(t, h, doc); len(steps) != 1 {
				t.Errorf("plan %q, want one step", steps)
			}
			must(t, h, doc)
			got := firewall(t, h, api.IPv4)
			if !slices.Equal(got.Chain, want.Chain) {
				t.Errorf("chain %q, want %q", got.Chain, want.Chain)
			}
			if want := append([]string{render.Jump}, others...); !slices.Equal(got.Input, want) {
				t.Errorf("INPUT %q, want %q", got.Input, want)
			}
			quiet(t, h, doc)
		})
	}
}

// TestTracesOfTheOriginal: a run removes the original system's rule and line, and nothing else.
func TestTracesOfTheOriginal(t *testing.T) {
	const (
		line  = "iptables -A INPUT -p tcp -m tcp --dport 9000 -j ACCEPT\n"
		other = "iptables -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n"
	)
	for name, test := range map[string]struct{ before, after string }{
		"as it wrote it":          {"#!/bin/sh -e\n\n" + line + "\nexit 0\n", "#!/bin/sh -e\n\nexit 0\n"},
		"full path":               {"/sbin/" + line, ""},
		"other full path":         {"#!/bin/sh\n/usr/sbin/" + line + "exit 0\n", "#!/bin/sh\nexit 0\n"},
		"indented, twice":         {"#!/bin/sh\n\t" + line + "\n  " + line + "\n\nexit 0\n", "#!/bin/sh\n\nexit 0\n"},
		"another port":            {"#!/bin/sh\n" + other + "exit 0\n", "#!/bin/sh\n" + other + "exit 0\n"},
		"among others":            {other + line + other, other + other},
		"commented out":           {"# " + line, "# " + line},
		"part of a longer line":   {"true && " + line, "true && " + line},
		"no newline at the end":   {"#!/bin/sh\n" + line + "exit 0", "#!/bin/sh\nexit 0"},
		"blanks and odd bytes":    {"  \t\r\n\xff\x00\n\n\n" + line + "\n \n", "  \t\r\n\xff\x00\n\n\n \n"},
		"with line ends of a DOS": {"#!/bin/sh\r\necho\r\n", "#!/bin/sh\r\necho\r\n"},
		"empty":                   {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := fake.New()
			h.Put("/etc/rc.local", test.before, 0o755)
			must(t, h, parse(t, spec))
			if got := h.Text("/etc/rc.local"); got != test.after {
				t.Errorf("rc.local\ngot  %q\nwant %q", got, test.after)
			}
			quiet(t, h, parse(t, spec))
		})
	}

	h := original()
	must(t, h, parse(t, spec))
	wantLines(t, "INPUT", firewall(t, h, api.IPv4).Input, render.Jump, "-A INPUT -i lo -j ACCEPT", "-A INPUT -j DROP")
	if mine := parse(t, spec+"firewall: {manage: false}\n"); true {
		h = original()
		before := firewall(t, h, api.IPv4).Input
		rc := h.Text("/etc/rc.local")
		must(t, h, mine)
		if got := firewall(t, h, api.IPv4).Input; !slices.Equal(got, before) || h.Text("/etc/rc.local") != rc {
			t.Errorf("firewall.manage is false, but the original's traces are gone: %q", got)
		}
	}
}
