package debian

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// aptOptions keep apt from asking, and keep the configuration files that are there. An apt that does not know one of
// the -o names ignores it.
func (h *Host) aptOptions() []string {
	return []string{
		"-y",
		"-o", "Dpkg::Options::=--force-confdef",
		"-o", "Dpkg::Options::=--force-confold",
		"-o", "Dpkg::Use-Pty=0",
		"-o", "DPkg::Lock::Timeout=" + strconv.Itoa(int(h.lockTimeout/time.Second)),
		"-o", "APT::Cmd::Pattern-Only=true", // names are names, not expressions
		"-o", "APT::Get::AutomaticRemove=false",
	}
}

// apt runs apt-get in a transient unit.
func (h *Host) apt(ctx context.Context, do string, args ...string) (log string, err error) {
	defer h.forgetOffers()
	err = h.retryLocked(ctx, func() error {
		log, err = h.transient(ctx, do, command{program: "apt-get", args: append(h.aptOptions(), args...)})
		return err
	})
	return log, err
}

// RefreshPackages fetches the lists of packages. apt-get calls it a success when a list could not be fetched and an
// old one is there, and so do we: a foreign source that is down is no reason to stop. InstallPackages tells of it
// where it matters.
func (h *Host) RefreshPackages(ctx context.Context) error {
	return h.effect("RefreshPackages", func() error {
		log, err := h.apt(ctx, "fetch the lists of packages", "update")
		h.staleLists.Store(firstWarning(log))
		return err
	})
}

func firstWarning(log string) string {
	for line := range strings.Lines(log) {
		if words, ok := strings.CutPrefix(strings.TrimSpace(line), "W: "); ok {
			return words
		}
	}
	return ""
}

// packageRequest is "name" or "name=version", a glob allowed in the version. It does not end in "-", with which apt would
// remove the package.
var packageRequest = regexp.MustCompile(`^([a-z0-9][a-z0-9+.-]*[a-z0-9+])(?:=([0-9A-Za-z*?](?:[0-9A-Za-z.+:~*?-]*[0-9A-Za-z.~*?])?))?$`)

// parseRequests splits packages into names and versions, "" where any will do.
func parseRequests(packages []string) (names, versions []string, err error) {
	for _, p := range packages {
		m := packageRequest.FindStringSubmatch(p)
		if m == nil {
			return nil, nil, fmt.Errorf("cannot install %q: neither the name of a package nor name=version", p)
		}
		names, versions = append(names, m[1]), append(versions, m[2])
	}
	return names, versions, nil
}

// InstallPackages installs the packages that are not installed, whole and in that version already.
func (h *Host) InstallPackages(ctx context.Context, packages ...string) (brought []string, err error) {
	err = h.effect("InstallPackages "+strings.Join(packages, " "), func() (err error) {
		brought, err = h.install(ctx, packages...)
		return err
	})
	return brought, err
}

func (h *Host) install(ctx context.Context, packages ...string) ([]string, error) {
	names, versions, err := parseRequests(packages)
	if err != nil {
		return nil, err
	}
	if err := h.awaitTransients(ctx); err != nil { // what is half way through now must not pass for "before"
		return nil, err
	}
	states, err := h.dpkgStates(ctx, names...)
	if err != nil {
		return nil, err
	}
	var wanted []string
	may := allowed{held: names}
	for i, p := range packages {
		version, pinned := versions[i], versions[i] != ""
		now := states[names[i]].state
		same := now.Version == version
		if glob, err := path.Match(version, now.Version); err == nil && glob {
			same = true
		}
		if now.Version == "" || now.Broken || pinned && !same {
			wanted = append(wanted, p)
		}
		if pinned {
			may.downgraded = append(may.downgraded, names[i])
		}
	}
	if len(wanted) == 0 {
		return nil, nil
	}

	before, err := h.present(ctx)
	if err != nil {
		return nil, err
	}
	do := "install " + strings.Join(wanted, " ")
	args := []string{"--no-install-recommends", "--no-remove", "--allow-downgrades", "--allow-change-held-packages", "install", "--"}
	err = h.simulatedApt(ctx, do, may, append(args, wanted...)...)
	if stale, _ := h.staleLists.Load().(string); err != nil && stale != "" {
		err = fmt.Errorf("%w (and not all lists of packages could be fetched: %s)", err, stale)
	}
	// Even a failed install may have unpacked something. A cut off one is asked about without its context.
	after, lookErr := h.present(context.WithoutCancel(ctx))
	if lookErr != nil {
		if err == nil {
			err = lookErr
		}
		return nil, err
	}
	added := slices.DeleteFunc(after, func(name string) bool {
		_, found := slices.BinarySearch(before, name)
		return found
	})
	return added, err
}

// PurgePackages removes packages with their configuration, and nothing but these.
func (h *Host) PurgePackages(ctx context.Context, names ...string) error {
	return h.effect("PurgePackages "+strings.Join(names, " "), func() error { return h.purge(ctx, names...) })
}

func (h *Host) purge(ctx context.Context, names ...string) error {
	if err := checkNames("purge", names); err != nil || len(names) == 0 {
		return err
	}
	if err := h.awaitTransients(ctx); err != nil {
		return err
	}
	states, err := h.dpkgStates(ctx, names...)
	if err != nil {
		return err
	}
	var there []string
	for _, name := range names {
		if states[name].known {
			there = append(there, name)
		}
	}
	if len(there) == 0 {
		return nil
	}
	do := "purge " + strings.Join(there, " ")
	args := append([]string{"--allow-change-held-packages", "purge", "--"}, there...)
	may := allowed{removed: there, held: there, installsNone: true}
	return h.simulatedApt(ctx, do, may, args...)
}

// RepairPackages finishes what an interrupted dpkg or apt left half done.
func (h *Host) RepairPackages(ctx context.Context) error {
	return h.effect("RepairPackages", func() error { return h.repair(ctx) })
}

func (h *Host) repair(ctx context.Context) error {
	do := "repair the packages"
	err := h.retryLocked(ctx, func() error {
		_, err := h.transient(ctx, do, command{program: "dpkg", args: []string{"--force-confdef", "--force-confold", "--configure", "-a"}})
		return err
	})
	// What dpkg cannot finish for want of a dependency, apt can fetch: its word is the one that counts.
	if err != nil {
		h.log.DebugContext(ctx, "dpkg could not finish alone", "err", err)
	}
	return h.simulatedApt(ctx, do, allowed{}, "--no-install-recommends", "--no-remove", "-f", "install")
}

// Additions simulates an installation. Where apt cannot even say what it would do, there is nothing that it would bring.
func (h *Host) Additions(ctx context.Context, packages ...string) ([]string, error) {
	if _, _, err := parseRequests(packages); err != nil {
		return nil, err
	}
	args := []string{"-s", "--no-install-recommends", "--allow-downgrades", "--allow-change-held-packages", "install", "--"}
	out, err := h.system.run(ctx, command{program: "apt-get", args: append(args, packages...)})
	if err != nil {
		return nil, wrap("ask what an installation would bring", err)
	}
	there, err := h.present(ctx)
	if err != nil {
		return nil, err
	}
	return notAmong(parseSimulation(out.stdout).installed, there), nil
}
