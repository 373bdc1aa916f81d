package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"regexp"
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
	pins := map[string]string{"haproxy": s.spec.Packages.HAProxy.Version, "keepalived": s.spec.Packages.Keepalived.Version}
	var absent []string
	for i, name := range []string{"haproxy", "keepalived"} {
		version := s.facts.VersionOf(name)
		switch {
		case *version != "":
		case len(packages) > i && packages[i].Version != "" && matches(pins[name], packages[i].Version):
			*version = render.Version(packages[i].Version)
		default:
			absent = append(absent, name)
		}
	}
	if len(absent) == 0 {
		return nil
	}
	var candidates map[string]string
	if !s.AskNoPrograms {
		if candidates, err = s.Observer.Candidates(ctx, absent...); err != nil && !errors.Is(err, host.ErrUnavailable) {
			return err
		}
	}
	file, _ := s.Observer.File(ctx, osRelease) // without it the newest release is assumed
	release := render.ReleaseOf(file.Data)
	for _, name := range absent {
		s.assumeVersion(name, pins[name], candidates[name], release)
	}
	return nil
}

// assumeVersion takes a program that is not installed for the version that apt offers, else the one that the spec names,
// else that of a Debian release.
func (s *search) assumeVersion(name, pin, candidate string, release render.Release) {
	version, usual := s.facts.VersionOf(name), *release.VersionOf(name)
	named := render.Version(strings.TrimRight(pin[:strings.IndexAny(pin+"*", "*?")], ".-"))
	switch {
	case candidate != "" && matches(pin, candidate):
		*version = render.Version(candidate)
		s.note("%s is not installed here: rendered for version %s, which apt offers", name, candidate)
	case hasMinor.MatchString(string(named)) && !matches(pin, string(usual)):
		*version = named
	default:
		*version = usual
		s.note("%s is not installed here: assumed version %s, that of %s", name, usual, release.Name)
	}
}

// hasMinor matches versions with a minor number. "2" alone may be any of many, which differ.
var hasMinor = regexp.MustCompile(`^([0-9]+:)?[0-9]+\.[0-9]`)

// osRelease is where a machine says of which release it is (os-release(5)).
const osRelease = "/etc/os-release"

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
		// a host whose /usr was never merged has it in /bin only; RootOnly does not read a program of a megabyte
		absent := func(path string) bool { return errors.Is(s.Observer.RootOnly(ctx, path), fs.ErrNotExist) }
		if absent(s.facts.Systemctl) && !absent("/bin/systemctl") {
			s.facts.Systemctl = "/bin/systemctl"
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
