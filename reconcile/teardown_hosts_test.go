package reconcile_test

import (
	"context"
	"testing"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
)

const own = "# the administrator's own\nfrontend mine\n    bind *:81\n"

// daemon adds the agent's own unit, as its package does.
func daemon(h *fake.Host) {
	h.Put("/etc/systemd/system/rlb-agent.service", "[Service]\n", 0o644)
	h.Admin(func(ctx context.Context, h host.Host) error {
		if err := h.EnableUnit(ctx, "rlb-agent.service"); err != nil {
			return err
		}
		return h.StartUnit(ctx, "rlb-agent.service")
	})
}

// hosts are hosts before the first run.
var hosts = map[string]func() *fake.Host{
	"bare":            fake.New,
	"of the original": original,
	"packages of the administrator": func() *fake.Host {
		h := fake.New()
		h.Put("/etc/haproxy/haproxy.cfg", own, 0o600)
		h.Put("/etc/keepalived/keepalived.conf", "# the administrator's own\n", 0o640)
		h.SetSysctl("net/ipv4/conf/eth0/arp_announce", "1")
		adminInstalls(h, "haproxy", "keepalived", "iptables", "nftables")
		h.Admin(func(ctx context.Context, h host.Host) error { return h.HoldPackage(ctx, "haproxy", true) })
		h.Iptables(api.IPv4, "-A INPUT -j DROP")
		return h
	},
	"a configuration without its package": func() *fake.Host {
		h := fake.New()
		h.Put("/etc/haproxy/haproxy.cfg", own, 0o600)
		return h
	},
	"stopped and disabled": func() *fake.Host {
		h := fake.New()
		adminInstalls(h, "haproxy", "keepalived")
		h.Admin(func(ctx context.Context, h host.Host) error {
			if err := h.StopUnit(ctx, "haproxy.service"); err != nil {
				return err
			}
			return h.DisableUnit(ctx, "haproxy.service")
		})
		return h
	},
}

// withPackages is the host from before the first run plus the packages that the agent installs, as a teardown with
// keepPackages leaves it.
func withPackages(build func() *fake.Host) func(t *testing.T) string {
	return func(t *testing.T) string {
		h, fresh := build(), build()
		must(t, h, parse(t, spec))
		var missing []string
		for _, name := range []string{"liblua5.3-0", "haproxy", "keepalived", "iptables", "nftables"} {
			if fresh.Installed(name) == "" {
				missing = append(missing, name)
			}
		}
		adminInstalls(fresh, missing...)
		fresh.Admin(func(ctx context.Context, h host.Host) error { // exception: they do not run and do not start at boot
			for _, name := range missing {
				if err := h.StopUnit(ctx, name+".service"); err != nil {
					return err
				}
				if err := h.DisableUnit(ctx, name+".service"); err != nil {
					return err
				}
			}
			return nil
		})
		return timeless(fresh)
	}
}
