package fake

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// pkg is a package in dpkg's database.
type pkg struct {
	version string // "" if not installed
	broken  bool
	held    bool
}

// stock is the configuration that a package installs if there is none.
var stock = map[string]struct{ path, data string }{
	"haproxy": {"/etc/haproxy/haproxy.cfg", "# Debian's own\nglobal\n    daemon\n"},
}

var dependencies = map[string][]string{"haproxy": {"liblua5.3-0"}}

// Packages returns the states of packages.
func (h *Host) Packages(ctx context.Context, names ...string) ([]host.Package, error) {
	if err := h.look(ctx, "Packages"); err != nil {
		return nil, err
	}
	var all []host.Package
	for _, name := range names {
		state := host.Package{Name: name}
		if p := h.packages[name]; p != nil {
			state.Version, state.Broken, state.Held = p.version, p.broken, p.held
			state.Present = p.version != ""
		}
		all = append(all, state)
	}
	return all, nil
}

// Candidates returns the newest versions of the archive.
func (h *Host) Candidates(ctx context.Context, names ...string) (map[string]string, error) {
	if err := h.look(ctx, "Candidates"); err != nil {
		return nil, err
	}
	candidates := map[string]string{}
	for _, name := range names {
		if h.Lists && len(h.Archive[name]) > 0 {
			candidates[name] = h.Archive[name][0]
		}
	}
	return candidates, nil
}

// Offers returns the newest versions of the archive. The lists changed at ListsTime.
func (h *Host) Offers(ctx context.Context, since time.Time, names ...string) (map[string]host.Offer, time.Time, error) {
	if err := h.look(ctx, "Offers"); err != nil {
		return nil, time.Time{}, err
	}
	if !h.ListsTime.After(since) {
		return nil, h.ListsTime, nil
	}
	h.Asked++
	offers := map[string]host.Offer{}
	for _, name := range names {
		if versions := h.Archive[name]; h.Lists && len(versions) > 0 {
			offers[name] = host.Offer{Version: versions[0], Security: h.Security}
		}
	}
	return offers, h.ListsTime, nil
}

// RefreshPackages downloads the lists.
func (h *Host) RefreshPackages(ctx context.Context) error {
	return h.effect(ctx, "RefreshPackages", "", func() error { h.Lists = true; return nil })
}

// InstallPackages installs packages and their dependencies one after the other. Packages before a failure stay installed.
func (h *Host) InstallPackages(ctx context.Context, packages ...string) (brought []string, err error) {
	err = h.effect(ctx, "InstallPackages", strings.Join(packages, " "), func() error {
		if err := h.interrupted(); err != nil {
			return err
		}
		versions := map[string]string{}
		for _, request := range packages {
			name, glob, _ := strings.Cut(request, "=")
			if versions[name], err = h.offered(name, glob); err != nil {
				return err
			}
		}
		for _, request := range packages {
			name, _, _ := strings.Cut(request, "=")
			for _, dependency := range append(slices.Clone(dependencies[name]), name) {
				if h.Installed(dependency) == "" {
					brought = append(brought, dependency)
				}
				version := versions[dependency]
				if version == "" {
					version, _ = h.offered(dependency, "")
				}
				h.unpack(ctx, dependency, version)
				if dependency == name && name != "haproxy" {
					h.half(h.packages[name])
				}
			}
		}
		return nil
	})
	return brought, err
}

// offered returns the version that apt installs for a name and a glob: a matching installed version, else the newest.
func (h *Host) offered(name, glob string) (string, error) {
	match := func(version string) bool { ok, err := path.Match(glob, version); return glob == "" || ok && err == nil }
	if have := h.Installed(name); have != "" && match(have) {
		return have, nil
	}
	if h.Lists {
		if i := slices.IndexFunc(h.Archive[name], match); i >= 0 {
			return h.Archive[name][i], nil
		}
	}
	return "", fmt.Errorf("cannot install %s: apt-get: E: Version '%s' for '%s' was not found", name, glob, name)
}

// unpack does what dpkg and the package's install script do.
func (h *Host) unpack(ctx context.Context, name, version string) {
	p := h.packages[name]
	if p == nil {
		p = &pkg{}
		h.packages[name] = p
	}
	fresh, changed := p.version == "", p.version != version
	p.version, p.broken = version, false
	if conf, has := stock[name]; has && h.files[conf.path].Path == "" {
		h.Put(conf.path, conf.data, 0o644)
	}
	if _, has := services[name]; !has {
		return
	}
	u := h.unit(name + ".service")
	switch {
	case fresh:
		u.enabled = true
		_ = h.start(u) // install scripts ignore a failed start
	case changed && u.active && h.KeepsOld: // by policy
		u.replaced = true
	case changed && u.active && name == "haproxy":
		u.replaced = true
		_ = h.reload(u)
	case changed && u.active:
		h.stop(u)
		_ = h.start(u)
	}
}

// PurgePackages removes packages, their configuration and their units.
func (h *Host) PurgePackages(ctx context.Context, names ...string) error {
	return h.effect(ctx, "PurgePackages", strings.Join(names, " "), func() error {
		if err := h.interrupted(); err != nil {
			return err
		}
		for _, name := range names {
			for other, needs := range dependencies {
				if slices.Contains(needs, name) && h.Installed(other) != "" && !slices.Contains(names, other) {
					return fmt.Errorf("cannot purge %s: that would also change %s", name, other)
				}
			}
		}
		for i, name := range names {
			if p := h.packages[name]; p != nil && i > 0 {
				h.half(p)
			}
			if _, has := services[name]; has {
				u := h.unit(name + ".service")
				h.stop(u)
				u.enabled = false
			}
			delete(h.files, stock[name].path)
			delete(h.packages, name)
		}
		return nil
	})
}

// RepairPackages completes half-installed packages.
func (h *Host) RepairPackages(ctx context.Context) error {
	return h.effect(ctx, "RepairPackages", "", func() error {
		for _, p := range h.packages {
			p.broken = false
		}
		return nil
	})
}

// HoldPackage marks a package as held.
func (h *Host) HoldPackage(ctx context.Context, name string, hold bool) error {
	return h.effect(ctx, "HoldPackage", fmt.Sprintf("%s %t", name, hold), func() error {
		if h.Installed(name) == "" {
			return fmt.Errorf("cannot hold %s: the package is not installed", name)
		}
		h.packages[name].held = hold
		return nil
	})
}

// Break leaves an installed package half configured, as a power cut does.
func (h *Host) Break(name string) { h.packages[name].broken = true }

// Installed returns the installed version of a package, or "".
func (h *Host) Installed(name string) string {
	if p := h.packages[name]; p != nil {
		return p.version
	}
	return ""
}

// Held says whether a package is held.
func (h *Host) Held(name string) bool { return h.packages[name] != nil && h.packages[name].held }
