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

// nameservers finds the DNS servers that HAProxy asks for servers given by name. A host whose network is not up yet has
// none; the ones of the last run are then used.
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

// versions finds the version of each program for which the files are rendered: the installed version, else the version to
// be installed.
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
	file, _ := s.Observer.File(ctx, osRelease) // without the file the newest release is assumed
	release := render.ReleaseOf(file.Data)
	for _, name := range absent {
		s.assumeVersion(name, pins[name], candidates[name], release)
	}
	return nil
}

// assumeVersion assumes the version of a program that is not installed: the version that apt offers, else the version that
// the spec names, else the version of a Debian release.
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

// hasMinor matches versions with a minor number. "2" alone stands for many versions, which differ.
var hasMinor = regexp.MustCompile(`^([0-9]+:)?[0-9]+\.[0-9]`)

// osRelease is the file that names the release of a machine (os-release(5)).
const osRelease = "/etc/os-release"

// paths finds the configuration files of the programs of the units.
func (s *search) paths(ctx context.Context) error {
	haproxy, err := s.Observer.Unit(ctx, host.HAProxyUnit)
	if err != nil && !errors.Is(err, host.ErrUnavailable) {
		return err
	}
	keepalived, err := s.Observer.Unit(ctx, host.KeepalivedUnit)
	if err != nil && !errors.Is(err, host.ErrUnavailable) {
		return err
	}
	// systemd does not report the environment of a masked unit: the paths of the last run are used
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
		// A host whose /usr was never merged has systemctl only in /bin. RootOnly does not read the program of a megabyte.
		absent := func(path string) bool { return errors.Is(s.Observer.RootOnly(ctx, path), fs.ErrNotExist) }
		if absent(s.facts.Systemctl) && !absent("/bin/systemctl") {
			s.facts.Systemctl = "/bin/systemctl"
		}
	}
	return nil
}

// HAProxyConfig is the configuration file of a unit's HAProxy: CONFIG in the unit's environment, or the default path.
func HAProxyConfig(unit host.Unit) string {
	return cmp.Or(unit.Environment["CONFIG"], render.DefaultHAProxyConfig)
}

// KeepalivedConfig is the configuration file of a unit's keepalived: DAEMON_ARGS in the unit's environment, or the default
// path.
func KeepalivedConfig(unit host.Unit) string {
	return cmp.Or(host.Argument(unit.Environment["DAEMON_ARGS"], "-f", "--use-file"), render.DefaultKeepalivedConfig)
}
