package reconcile_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/plan"
)

func TestFirstInstall(t *testing.T) {
	h := fake.New()
	doc := parse(t, spec)
	result := must(t, h, doc)
	wantLines(t, "steps", texts(result.Steps),
		"keep haproxy.service from starting before it is configured",
		"keep keepalived.service from starting before it is configured",
		"install haproxy, keepalived, iptables, nftables",
		"hold package haproxy",
		"hold package keepalived",
		"load the IPv4 firewall rules",
		"load the IPv6 firewall rules",
		"write /etc/keepalived/keepalived.conf",
		"write /etc/haproxy/haproxy.cfg",
		"write /etc/systemd/system/keepalived.service.d/rlb.conf",
		"write /etc/systemd/system/haproxy.service.d/rlb.conf",
		"write /var/lib/rlb/rules.v4",
		"write /var/lib/rlb/rules.v6",
		"write /etc/systemd/system/rlb-firewall.service",
		"write /var/lib/rlb/handover.nft",
		"write /var/lib/rlb/handover.routes",
		"write /etc/systemd/system/rlb-handover.service",
		"make systemd read its changed units",
		"enable rlb-handover.service",
		"start rlb-handover.service",
		"enable rlb-firewall.service",
		"unmask haproxy.service",
		"enable haproxy.service",
		"start haproxy.service",
		"unmask keepalived.service",
		"enable keepalived.service",
		"start keepalived.service",
	)
	for _, unit := range []string{"haproxy.service", "keepalived.service"} {
		if h.Loaded(unit) == "" {
			t.Errorf("%s does not run", unit)
		}
	}
	quiet(t, h, doc)
}

func TestHostsOfAllKinds(t *testing.T) {
	tests := map[string]struct {
		spec  string
		setup func(h *fake.Host)
	}{
		"apt's lists were never fetched": {spec, func(h *fake.Host) { h.Lists = false }},
		"the kernel has no IPv6":         {spec, func(h *fake.Host) { h.NoIPv6 = true }},
		"no iptables and no use for it": {spec + "firewall: {manage: false}\n", func(h *fake.Host) {
			delete(h.Archive, "iptables")
		}},
		"both families": {strings.ReplaceAll(spec, "[198.51.100.10]", "[198.51.100.10, '2001:db8::10']"), func(*fake.Host) {}},
		"packages are somebody else's": {spec + "packages: {manage: false}\n", func(h *fake.Host) {
			h.Admin(func(ctx context.Context, h host.Host) error {
				_, err := h.InstallPackages(ctx, "haproxy", "keepalived", "iptables")
				return err
			})
		}},
		"a service on a virtual IP": {strings.ReplaceAll(spec, "port: 9000", "bind: 198.51.100.10\n  port: 9000"), func(*fake.Host) {}},
		"no master socket":          {spec, func(h *fake.Host) { h.Put("/etc/default/haproxy", "EXTRAOPTS=\n", 0o644) }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := fake.New()
			test.setup(h)
			doc := parse(t, test.spec)
			must(t, h, doc)
			quiet(t, h, doc)
		})
	}
}

func TestReboot(t *testing.T) {
	doc := parse(t, spec)
	h := installed(t, doc)
	running := h.Dump(memory...)
	h.Reboot()
	if got := strings.Count(h.Dump(), "-A INPUT -j RLB-INPUT"); got != 2 {
		t.Errorf("after a reboot there are %d jumps, want one for each family", got)
	}
	quiet(t, h, doc)
	if !strings.Contains(running, "active run") || h.Loaded("haproxy.service") == "" {
		t.Error("haproxy does not run after the reboot")
	}
}

// TestRefusalTouchesNothing: a run that cannot change the machine, or that gets a bad spec, calls no writer.
func TestRefusalTouchesNothing(t *testing.T) {
	good := parse(t, spec)
	bad := parse(t, spec+"proxy: {extraGlobal: [nonsense]}\n")
	h := installed(t, good)
	h.Forbidden["haproxy"] = "nonsense"
	before := h.Dump()
	_, _, err := once(t, h, bad)
	var refusal *host.Refusal
	if !errors.As(err, &refusal) || refusal.Lines[0].Origin != "proxy.extraGlobal[0]" || !strings.Contains(err.Error(), "\nspec.yaml:9:23: proxy.extraGlobal: /etc/haproxy/haproxy.cfg:") {
		t.Errorf("got %v, want a refusal that names proxy.extraGlobal[0] and its place", err)
	}
	if len(h.Log) > 0 {
		t.Errorf("effects of a refused spec: %q", h.Log)
	}
	same(t, "a refusal", h, before)
	quiet(t, h, good)

	bare := fake.New()
	bare.NotReady = host.ErrUnavailable
	if _, _, err := once(t, bare, good); !errors.Is(err, host.ErrUnavailable) || len(bare.Log) > 0 {
		t.Errorf("a machine that is not ready: %v, effects %q", err, bare.Log)
	}
	bare = fake.New()
	bare.Net = nil
	if _, _, err := once(t, bare, good); err == nil || len(bare.Log) > 0 {
		t.Errorf("a machine without network: %v, effects %q", err, bare.Log)
	}
}

// TestRefusalUndoesTheInstallation: the checking programs come with the packages, so a refusal after that must undo the
// installation.
func TestRefusalUndoesTheInstallation(t *testing.T) {
	const leftover = "# the administrator's, of an installation of old\n"
	for name, setup := range map[string]func(h *fake.Host){
		"bare":                    func(*fake.Host) {},
		"keepalived is there":     func(h *fake.Host) { adminInstalls(h, "keepalived") },
		"a configuration is left": func(h *fake.Host) { h.Put("/etc/haproxy/haproxy.cfg", leftover, 0o600) },
	} {
		for _, program := range []string{"haproxy", "keepalived"} {
			t.Run(name+", "+program+" refuses", func(t *testing.T) {
				h := fake.New()
				setup(h)
				h.Forbidden[program] = map[string]string{"haproxy": "frontend web", "keepalived": "vrrp_instance"}[program]
				before := h.Dump()
				_, _, err := once(t, h, parse(t, spec))
				var refusal *host.Refusal
				if !errors.As(err, &refusal) || refusal.Program != program {
					t.Errorf("got %v, want a refusal by %s", err, program)
				}
				same(t, "a refusal on a bare host", h, before, memory...)
				if slices.ContainsFunc(h.Log, func(line string) bool { return strings.HasPrefix(line, "StartUnit") }) {
					t.Errorf("something was started: %q", h.Log)
				}
			})
		}
	}
}

// TestUndoPurgesWhatThisRunBrought: if two runs install packages, and the second is undone, only the packages of the second
// are removed.
func TestUndoPurgesWhatThisRunBrought(t *testing.T) {
	doc := parse(t, spec)
	h := installed(t, doc)
	h.Admin(func(ctx context.Context, h host.Host) error {
		return h.PurgePackages(ctx, "haproxy", "liblua5.3-0")
	})
	before := h.Dump(memory...)
	h.Busy[9000] = true
	_, _, err := once(t, h, doc)
	if err == nil {
		t.Fatal("haproxy cannot have started")
	}
	if h.Installed("haproxy") != "" || h.Installed("keepalived") == "" {
		t.Errorf("haproxy %q is to be purged, keepalived %q is to stay", h.Installed("haproxy"), h.Installed("keepalived"))
	}
	same(t, "the undoing", h, before, memory...)
	delete(h.Busy, 9000)
	must(t, h, doc)
	quiet(t, h, doc)
}

// TestCancelledRun: a request to stop takes effect while packages are installed; the next run continues. It does not take
// effect between the configuring steps, which are completed.
func TestCancelledRun(t *testing.T) {
	for at, stopped := range map[string]bool{"keep haproxy.service": true, "install haproxy": true, "hold package": false, "write /etc/haproxy": false, "start haproxy": false} {
		t.Run(at, func(t *testing.T) {
			h := fake.New()
			doc := parse(t, spec)
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				r := reconcile.Reconciler{Host: h, Log: discard, Step: func(s plan.Step) {
					if strings.HasPrefix(s.String(), at) {
						cancel()
					}
				}}
				_, err := r.Once(ctx, doc)
				var failure *reconcile.Failure
				if stopped && (!errors.As(err, &failure) || failure.Undo != nil || !errors.Is(err, context.Canceled)) {
					t.Errorf("got %v, want a failure", err)
				} else if !stopped && err != nil {
					t.Errorf("got %v, want an end", err)
				}
			})
			if stopped && h.Text("/etc/keepalived/keepalived.conf") != "" {
				t.Error("keepalived.conf was written after all")
			}
			must(t, h, doc)
			quiet(t, h, doc)
		})
	}
}

func TestFailureMessages(t *testing.T) {
	cause, back := errors.New("cannot reload haproxy.service: it failed"), errors.New("cannot put back /x: disk full")
	for _, test := range []struct {
		failure reconcile.Failure
		want    string
	}{
		{reconcile.Failure{Err: cause}, "cannot reload haproxy.service: it failed"},
		{reconcile.Failure{Err: cause, Undone: true}, "cannot reload haproxy.service: it failed\nwhat was there before is in force again"},
		{reconcile.Failure{Err: cause, Undone: true, Undo: back},
			"cannot reload haproxy.service: it failed\nand cannot bring back what was there before: cannot put back /x: disk full\nmanual intervention required: see systemctl status haproxy keepalived, fix the error above, then run rlb-agent --once"},
	} {
		if got := test.failure.Error(); got != test.want {
			t.Errorf("got  %q\nwant %q", got, test.want)
		}
		if !errors.Is(&test.failure, cause) {
			t.Error("the failure hides its cause")
		}
	}
	refusal := host.Refusal{Program: "haproxy", Lines: []host.Verdict{
		{Path: "/etc/haproxy/haproxy.cfg", Line: 7, Origin: "services[0].port", Text: "bad port"}, {Text: "fatal errors"}}}
	const want = "haproxy refuses its configuration:\n  services[0].port: /etc/haproxy/haproxy.cfg:7: bad port\n  fatal errors"
	if got := refusal.Error(); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
