package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// nameservers finds whom HAProxy asks for the servers that are given by name. A host whose network is not up yet has
// none, and then those of the last run count.
func (s *search) nameservers(ctx context.Context) error {
	named := slices.ContainsFunc(s.spec.Services, func(service api.Service) bool {
		return slices.ContainsFunc(service.Servers, func(server api.Server) bool {
			_, err := netip.ParseAddr(server.Address)
			return err != nil
		})
	})
	if !named || len(s.facts.Nameservers) > 0 {
		return nil
	}
	f, err := s.Observer.File(ctx, resolvConf)
	if err != nil && !errors.Is(err, host.ErrUnavailable) {
		return err
	}
	s.facts.Nameservers = render.Nameservers(f.Data)
	if len(s.facts.Nameservers) == 0 {
		s.facts.Nameservers = s.kept.Nameservers
	}
	return nil
}

const resolvConf = "/etc/resolv.conf"

// versions finds which version of each program the files are for: the installed one, else the one to be installed.
func (s *search) versions(ctx context.Context) error {
	packages, err := s.Observer.Packages(ctx, "haproxy", "keepalived")
	if err != nil && !errors.Is(err, host.ErrUnavailable) {
		return err
	}
	for i, want := range []struct {
		name    string
		version *render.Version
		pin     string
		assumed render.Version
	}{
		{"haproxy", &s.facts.HAProxyVersion, s.spec.Packages.HAProxy.Version, render.AssumedHAProxy},
		{"keepalived", &s.facts.KeepalivedVersion, s.spec.Packages.Keepalived.Version, render.AssumedKeepalived},
	} {
		if *want.version != "" {
			continue
		}
		pin := strings.TrimSuffix(strings.TrimSuffix(want.pin, "*"), ".")
		var have host.Package
		if len(packages) > i {
			have = packages[i]
		}
		switch {
		case have.Version != "" && matches(want.pin, have.Version):
			*want.version = render.Version(have.Version)
		case have.Candidate != "" && matches(want.pin, have.Candidate):
			*want.version = render.Version(have.Candidate)
			s.note("%s is not installed here: rendered for version %s, which apt offers", want.name, have.Candidate)
		default:
			*want.version = render.Version(pin)
		}
		if *want.version == "" {
			*want.version = want.assumed
			s.note("%s is not installed here: assumed version %s", want.name, want.assumed)
		}
	}
	return nil
}

// paths finds where the units' programs read their configuration.
func (s *search) paths(ctx context.Context) error {
	haproxy, err := s.Observer.Unit(ctx, host.HAProxyUnit)
	if err != nil && !errors.Is(err, host.ErrUnavailable) {
		return err
	}
	keepalived, err := s.Observer.Unit(ctx, host.KeepalivedUnit)
	if err != nil && !errors.Is(err, host.ErrUnavailable) {
		return err
	}
	// systemd does not tell the environment of a unit that is masked: what it was counts
	if haproxy.Masked() && s.facts.HAProxyConfig == "" {
		s.facts.HAProxyConfig = s.kept.HAProxyConfig
	}
	if keepalived.Masked() && s.facts.KeepalivedConfig == "" {
		s.facts.KeepalivedConfig = s.kept.KeepalivedConfig
	}
	s.facts.HAProxyConfig = cmp.Or(s.facts.HAProxyConfig, HAProxyConfig(haproxy))
	s.facts.KeepalivedConfig = cmp.Or(s.facts.KeepalivedConfig, KeepalivedConfig(keepalived))
	for _, config := range []string{s.facts.HAProxyConfig, s.facts.KeepalivedConfig} {
		if !path.IsAbs(config) {
			return fmt.Errorf("cannot manage the configuration that the unit's environment names: %q is no absolute path", config)
		}
	}
	if s.facts.Systemctl == "" {
		s.facts.Systemctl = render.DefaultSystemctl
		// a host whose /usr was never merged has it in /bin only
		if f, err := s.Observer.File(ctx, "/bin/systemctl"); err == nil && f.Exists {
			if f, err := s.Observer.File(ctx, s.facts.Systemctl); err == nil && !f.Exists {
				s.facts.Systemctl = "/bin/systemctl"
			}
		}
	}
	return nil
}

// HAProxyConfig is where the HAProxy of a unit reads its configuration: CONFIG in the unit's environment, or the usual
// place.
func HAProxyConfig(unit host.Unit) string {
	return cmp.Or(unit.Environment["CONFIG"], render.DefaultHAProxyConfig)
}

// KeepalivedConfig is where the keepalived of a unit reads its configuration: DAEMON_ARGS in the unit's environment, or
// the usual place.
func KeepalivedConfig(unit host.Unit) string {
	return cmp.Or(host.Argument(unit.Environment["DAEMON_ARGS"], "-f", "--use-file"), render.DefaultKeepalivedConfig)
}
