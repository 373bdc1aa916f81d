// Package apt reads, installs, removes and holds the packages of a machine, with dpkg's records and apt's offers. Changes
// of packages run in a systemd unit of their own, which outlives the agent.
package apt

import (
	"context"
	"fmt"
	"log/slog"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
)

// A Manager reads and changes the packages of this machine. It implements the host's PackageReader and PackageWriter.
type Manager struct {
	programs *program.Runner
	effect   host.Effect
	log      *slog.Logger

	lists string // directory of apt's package lists
	dpkg  string // directory of dpkg's records
	run   string // the agent's directory for files that are lost at a reboot

	transients atomic.Int64 // number of transient units so far
	staleLists atomic.Value // string: warning of the last apt-get update

	dpkgMutex  sync.Mutex
	dpkgAsOf   string               // state of dpkg's records before the query
	dpkgAsked  []string             // packages of the query
	dpkgAnswer map[string]dpkgState // answer of the query; never changed

	offersMutex sync.Mutex
	offers      map[string]string // candidates queried since apt last ran
}

// New returns the manager of this machine's packages. It accesses nothing.
func New(programs *program.Runner, effect host.Effect, log *slog.Logger) *Manager {
	return &Manager{programs: programs, effect: effect, log: log, lists: "/var/lib/apt/lists", dpkg: "/var/lib/dpkg", run: host.RunDir}
}

// aptOptions prevent questions of apt, and keep existing configuration files. An apt version ignores unknown names of -o.
func (m *Manager) aptOptions() []string {
	return []string{
		"-y",
		"-o", "Dpkg::Options::=--force-confdef",
		"-o", "Dpkg::Options::=--force-confold",
		"-o", "Dpkg::Use-Pty=0",
		"-o", "DPkg::Lock::Timeout=" + strconv.Itoa(int(m.programs.LockTimeout/time.Second)),
		"-o", "APT::Cmd::Pattern-Only=true", // package names are names, not expressions
		"-o", "APT::Get::AutomaticRemove=false",
	}
}

// apt runs apt-get in a transient unit.
func (m *Manager) apt(ctx context.Context, do string, args ...string) (log string, err error) {
	defer m.forgetOffers()
	err = m.programs.RetryLocked(ctx, func() error {
		log, err = m.transient(ctx, do, program.Command{Name: "apt-get", Args: append(m.aptOptions(), args...)})
		return err
	})
	return log, err
}

// RefreshPackages downloads the package lists. Like apt-get it succeeds if a list could not be downloaded but an old one
// exists: a foreign source that is down is no reason to stop. If an installation fails later, its error mentions that list.
func (m *Manager) RefreshPackages(ctx context.Context) error {
	return m.effect.Do("RefreshPackages", func() error {
		log, err := m.apt(ctx, "fetch the lists of packages", "update")
		m.staleLists.Store(firstWarning(log))
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

// packageRequest is "name" or "name=version", with a glob allowed in the version. It must not end in "-", because apt would
// then remove the package.
var packageRequest = regexp.MustCompile(`^([a-z0-9][a-z0-9+.-]*[a-z0-9+])(?:=([0-9A-Za-z*?](?:[0-9A-Za-z.+:~*?-]*[0-9A-Za-z.~*?])?))?$`)

// parseRequests splits packages into names and versions; "" means any version.
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

// InstallPackages installs the packages that are not already installed completely and in the requested version. The error
// wraps host.ErrForNow if the archive cannot be reached.
func (m *Manager) InstallPackages(ctx context.Context, packages ...string) (brought []string, err error) {
	err = m.effect.Do("InstallPackages "+strings.Join(packages, " "), func() (err error) {
		brought, err = m.install(ctx, packages...)
		return err
	})
	return brought, err
}

func (m *Manager) install(ctx context.Context, packages ...string) ([]string, error) {
	names, versions, err := parseRequests(packages)
	if err != nil {
		return nil, err
	}
	if err := m.awaitTransients(ctx); err != nil { // packages of a running installation must not count as "before"
		return nil, err
	}
	states, err := m.dpkgStates(ctx, names...)
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

	before, err := m.present(ctx)
	if err != nil {
		return nil, err
	}
	do := "install " + strings.Join(wanted, " ")
	args := []string{"--no-install-recommends", "--no-remove", "--allow-downgrades", "--allow-change-held-packages", "install", "--"}
	err = m.simulatedApt(ctx, do, may, append(args, wanted...)...)
	if stale, _ := m.staleLists.Load().(string); err != nil && stale != "" {
		err = host.ForNow(fmt.Errorf("%w (and not all lists of packages could be fetched: %s)", err, stale))
	}
	if err != nil && strings.Contains(err.Error(), "Failed to fetch") { // a package
		err = host.ForNow(err)
	}
	// Even a failed installation may have unpacked something. The query ignores a cancelled ctx.
	after, lookErr := m.present(context.WithoutCancel(ctx))
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

// PurgePackages removes these packages with their configuration, and no others.
func (m *Manager) PurgePackages(ctx context.Context, names ...string) error {
	return m.effect.Do("PurgePackages "+strings.Join(names, " "), func() error { return m.purge(ctx, names...) })
}

func (m *Manager) purge(ctx context.Context, names ...string) error {
	if err := checkNames("purge", names); err != nil || len(names) == 0 {
		return err
	}
	if err := m.awaitTransients(ctx); err != nil {
		return err
	}
	states, err := m.dpkgStates(ctx, names...)
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
	return m.simulatedApt(ctx, do, may, args...)
}

// RepairPackages completes what an interrupted dpkg or apt left half done.
func (m *Manager) RepairPackages(ctx context.Context) error {
	return m.effect.Do("RepairPackages", func() error { return m.repair(ctx) })
}

func (m *Manager) repair(ctx context.Context) error {
	do := "repair the packages"
	err := m.programs.RetryLocked(ctx, func() error {
		_, err := m.transient(ctx, do, program.Command{Name: "dpkg", Args: []string{"--force-confdef", "--force-confold", "--configure", "-a"}})
		return err
	})
	// If dpkg lacks a dependency, apt can download it, so only apt's result counts.
	if err != nil {
		m.log.DebugContext(ctx, "dpkg could not finish alone", "err", err)
	}
	return m.simulatedApt(ctx, do, allowed{}, "--no-install-recommends", "--no-remove", "-f", "install")
}

// Additions simulates an installation. If apt cannot simulate it, the result is empty.
func (m *Manager) Additions(ctx context.Context, packages ...string) ([]string, error) {
	if _, _, err := parseRequests(packages); err != nil {
		return nil, err
	}
	args := []string{"-s", "--no-install-recommends", "--allow-downgrades", "--allow-change-held-packages", "install", "--"}
	out, err := m.programs.Run(ctx, program.Command{Name: "apt-get", Args: append(args, packages...)})
	if err != nil {
		return nil, host.Cannot("ask what an installation would bring", err)
	}
	there, err := m.present(ctx)
	if err != nil {
		return nil, err
	}
	return notAmong(parseSimulation(out.Stdout).installed, there), nil
}
