// Package apt is what a machine has of packages: dpkg's records, apt's offers, and what installs, removes and holds them.
// What changes packages runs in a systemd unit of its own, which outlives the agent.
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

// A Manager asks and changes the packages of this machine. It is the host's PackageReader and PackageWriter.
type Manager struct {
	programs *program.Runner
	effect   host.Effect
	log      *slog.Logger

	lists string // apt's lists of packages
	dpkg  string // dpkg's records
	run   string // our directory for what a reboot may forget

	transients atomic.Int64 // transient units so far
	staleLists atomic.Value // string: what the last apt-get update could not fetch

	dpkgMutex  sync.Mutex
	dpkgAsOf   string               // the state of dpkg's records before it was asked
	dpkgAsked  []string             // for which packages
	dpkgAnswer map[string]dpkgState // what it answered; not changed any more

	offersMutex sync.Mutex
	offers      map[string]string // candidates that were asked for since apt last ran
}

// New is the manager of this machine's packages. It touches nothing.
func New(programs *program.Runner, effect host.Effect, log *slog.Logger) *Manager {
	return &Manager{programs: programs, effect: effect, log: log, lists: "/var/lib/apt/lists", dpkg: "/var/lib/dpkg", run: host.RunDir}
}

// aptOptions keep apt from asking, and keep the configuration files that are there. An apt that does not know one of
// the -o names ignores it.
func (m *Manager) aptOptions() []string {
	return []string{
		"-y",
		"-o", "Dpkg::Options::=--force-confdef",
		"-o", "Dpkg::Options::=--force-confold",
		"-o", "Dpkg::Use-Pty=0",
		"-o", "DPkg::Lock::Timeout=" + strconv.Itoa(int(m.programs.LockTimeout/time.Second)),
		"-o", "APT::Cmd::Pattern-Only=true", // names are names, not expressions
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

// RefreshPackages fetches the lists of packages. apt-get calls it a success when a list could not be fetched and an
// old one is there, and so do we: a foreign source that is down is no reason to stop. InstallPackages tells of it
// where it matters.
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

// InstallPackages installs the packages that are not installed, whole and in that version already. The error wraps
// host.ErrForNow where the archive cannot be reached.
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
	if err := m.awaitTransients(ctx); err != nil { // what is half way through now must not pass for "before"
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
	// Even a failed install may have unpacked something. A cut off one is asked about without its context.
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

// PurgePackages removes packages with their configuration, and nothing but these.
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

// RepairPackages finishes what an interrupted dpkg or apt left half done.
func (m *Manager) RepairPackages(ctx context.Context) error {
	return m.effect.Do("RepairPackages", func() error { return m.repair(ctx) })
}

func (m *Manager) repair(ctx context.Context) error {
	do := "repair the packages"
	err := m.programs.RetryLocked(ctx, func() error {
		_, err := m.transient(ctx, do, program.Command{Name: "dpkg", Args: []string{"--force-confdef", "--force-confold", "--configure", "-a"}})
		return err
	})
	// What dpkg cannot finish for want of a dependency, apt can fetch: its verdict counts.
	if err != nil {
		m.log.DebugContext(ctx, "dpkg could not finish alone", "err", err)
	}
	return m.simulatedApt(ctx, do, allowed{}, "--no-install-recommends", "--no-remove", "-f", "install")
}

// Additions simulates an installation. Where apt cannot even say what it would do, there is nothing that it would bring.
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
