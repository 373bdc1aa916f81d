package reconcile_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

// recorded is a host as commit c1d3f31 of the agent left it, with the spec of port 9001 in force after the spec of port
// 9000. It is rebuilt from the recorded dump in testdata, by an administrator's commands. before is the host before its
// first run.
func recorded(t *testing.T, name string, before *fake.Host) *fake.Host {
	t.Helper()
	data, err := os.ReadFile("testdata/c1d3f31/" + name + ".dump")
	if err != nil {
		t.Fatal(err)
	}
	h, dump := before, strings.TrimSuffix(string(data), "\n")
	adminInstalls(h, "haproxy", "keepalived", "iptables")
	for _, block := range strings.Split(dump, "\nfile ")[1:] {
		head, text, _ := strings.Cut(block, "\n    ")
		words := strings.Fields(head)
		mode, err := strconv.ParseUint(words[1], 8, 32)
		if err != nil {
			t.Fatal(err)
		}
		h.Put(words[0], strings.ReplaceAll(text, "\n    ", "\n")+"\n", fs.FileMode(mode))
	}
	h.Admin(func(ctx context.Context, h host.Host) error {
		errs := []error{h.ReloadManager(ctx), h.ReloadUnit(ctx, "haproxy.service"), h.StartUnit(ctx, "keepalived.service"), h.StartUnit(ctx, "rlb-agent.service")}
		for _, name := range []string{"haproxy.service", "keepalived.service", "rlb-agent.service", render.FirewallUnit} {
			errs = append(errs, h.EnableUnit(ctx, name))
		}
		for _, name := range []string{"haproxy", "keepalived"} {
			errs = append(errs, h.HoldPackage(ctx, name, true))
		}
		return errors.Join(errs...)
	})
	for family, path := range map[api.Family]string{api.IPv4: "/var/lib/rlb/rules.v4", api.IPv6: "/var/lib/rlb/rules.v6"} {
		_, rules, _ := strings.Cut(h.Text(path), "*filter\n")
		rules, _, _ = strings.Cut(rules, "\nCOMMIT")
		h.Iptables(family, lines(rules)...)
	}
	if has := firewall(t, h, api.IPv4).Input; slices.Contains(has, originals) {
		h.Iptables(api.IPv4, strings.Replace(originals, "-A", "-D", 1))
	}
	sameText(t, "the host made again", string(data), h.Dump())
	return h
}

// originals is the rule of the original system that the agent's own rules replaced.
const originals = "-A INPUT -p tcp -m tcp --dport 9000 -j ACCEPT"

// renderedNow are the steps for what this agent renders differently from that commit. Clients notice none of them.
var renderedNow = []string{
	"install nftables", "write /etc/haproxy/haproxy.cfg", "write /etc/systemd/system/keepalived.service.d/rlb.conf", "write /etc/systemd/system/haproxy.service.d/rlb.conf",
	"write /var/lib/rlb/handover.nft", "write /var/lib/rlb/handover.routes", "write /etc/systemd/system/rlb-handover.service", "make systemd read its changed units",
	"enable rlb-handover.service", "start rlb-handover.service", "reload haproxy.service",
}

// TestTakeoverFromC1d3f31: a host that commit c1d3f31 set up is taken over with steps only for what is rendered
// differently. Nothing is restarted, its generations and its refusal are known, and a teardown restores the host from before
// its first run.
func TestTakeoverFromC1d3f31(t *testing.T) {
	for name, before := range map[string]func() *fake.Host{"fresh": fake.New, "original": original} {
		t.Run(name, func(t *testing.T) {
			h := recorded(t, name, before())
			wantLines(t, "plan", planOf(t, h, port(t, 9001)), renderedNow...)
			wantLines(t, "history", history(t, h), generation(1, port(t, 9000)), generation(2, port(t, 9001)))
			if r, err := state.ReadRefusal(t.Context(), h); err != nil || r == nil || r.Why != "cannot reload haproxy" {
				t.Errorf("refusal %v, %v", r, err)
			}
			wantLines(t, "steps", texts(must(t, h, port(t, 9001)).Steps), renderedNow...)
			if copied := h.Text(state.MemoryFile + ".copy"); copied == "" || copied != h.Text(state.MemoryFile) {
				t.Errorf("the memory has no copy:\n%s", copied)
			}
			quiet(t, h, port(t, 9001))
			must(t, h, port(t, 9000))
			mustTearDown(t, h, false)
			want := before()
			daemon(want)
			want.Admin(func(ctx context.Context, r host.Host) error {
				return errors.Join(r.StopUnit(ctx, host.AgentUnit), r.DisableUnit(ctx, host.AgentUnit))
			})
			sameText(t, "after the teardown", timeless(want), timeless(h))
		})
	}
}
