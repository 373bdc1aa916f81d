package apt

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
)

// packageName matches a package's exact name: no option, no glob, no apt suffix ("name-" would remove the package).
var packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]*[a-z0-9+]$`)

func checkNames(do string, names []string) error {
	for _, name := range names {
		if !packageName.MatchString(name) {
			return fmt.Errorf("cannot %s %q: not the name of a package", do, name)
		}
	}
	return nil
}

const packageFormat = "${Package}\t${db:Status-Want}\t${db:Status-Status}\t${db:Status-Eflag}\t${Version}\n"

// Packages returns the states of the named packages, in that order.
func (m *Manager) Packages(ctx context.Context, names ...string) ([]host.Package, error) {
	if len(names) == 0 {
		return nil, nil
	}
	if err := checkNames("look at package", names); err != nil {
		return nil, err
	}
	states, err := m.dpkgStates(ctx, names...)
	if err != nil {
		return nil, err
	}
	packages := make([]host.Package, len(names))
	for i, name := range names {
		packages[i] = states[name].state
		packages[i].Name = name
	}
	return packages, nil
}

// dpkgState is dpkg's state of one package.
type dpkgState struct {
	state   host.Package
	present bool // some of its files can exist
	known   bool // present, or its configuration remains
}

// managedPackages are queried together, so that one look at a host runs dpkg-query once.
var managedPackages = []string{"haproxy", "iptables", "keepalived", "nftables"}

// dpkgStates returns the states of the named packages that dpkg knows. It reads dpkg's records again only if they have
// changed, and runs dpkg-query only if the records are incomplete.
func (m *Manager) dpkgStates(ctx context.Context, names ...string) (map[string]dpkgState, error) {
	m.dpkgMutex.Lock()
	defer m.dpkgMutex.Unlock()
	records := m.dpkgRecords() // before the query: a change during it makes the answer stale
	unknown := func(name string) bool { return !slices.Contains(m.dpkgAsked, name) }
	if records != "" && records == m.dpkgAsOf && !slices.ContainsFunc(names, unknown) {
		return m.dpkgAnswer, nil
	}
	asked := slices.Compact(slices.Sorted(slices.Values(slices.Concat(managedPackages, names))))
	answer, complete := m.readRecords(asked)
	if !complete {
		var err error
		if answer, err = m.queryDpkg(ctx, asked...); err != nil {
			return nil, err
		}
	}
	m.dpkgAsOf, m.dpkgAsked, m.dpkgAnswer = records, asked, answer
	return answer, nil
}

// dpkgRecords identifies the state of dpkg's database; "" if it is not visible. dpkg replaces the file status at its end,
// and before that logs its changes in the directory updates (dpkg(1), dpkg's internals).
func (m *Manager) dpkgRecords() string {
	var id strings.Builder
	for _, name := range []string{"status", "updates"} {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(m.dpkg, name), &st); err != nil {
			return ""
		}
		fmt.Fprintf(&id, "%d %d %d %d;", st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano())
	}
	return id.String()
}

// queryDpkg runs dpkg-query for the named packages, or for all.
func (m *Manager) queryDpkg(ctx context.Context, names ...string) (map[string]dpkgState, error) {
	c := program.Command{Name: "dpkg-query", Args: append([]string{"-W", "-f", packageFormat, "--"}, names...)}
	out, err := m.programs.Run(ctx, c)
	if err != nil {
		return nil, host.Cannot("look at packages", err)
	}
	if out.Code != 0 && out.Code != 1 { // 1: some are unknown; the others are listed
		return nil, program.Failure("look at packages", c.Name, out)
	}
	states := make(map[string]dpkgState)
	for line := range strings.Lines(out.Stdout) {
		name, s, ok := parseDpkg(strings.TrimSuffix(line, "\n"))
		if !ok {
			return nil, fmt.Errorf("cannot look at packages: dpkg-query: unexpected line %q", line)
		}
		if old := states[name]; !old.present { // a second architecture must not hide the first
			states[name] = s
		}
	}
	return states, nil
}

func parseDpkg(line string) (name string, s dpkgState, ok bool) {
	field := strings.Split(line, "\t")
	if len(field) != 5 {
		return "", dpkgState{}, false
	}
	want, status, flag, version := field[1], field[2], field[3], field[4]
	s.state.Name = field[0]
	s.state.Held = want == "hold"
	s.known = status != "not-installed"
	s.present = s.known && status != "config-files"
	s.state.Present = s.known
	if s.present {
		s.state.Version = version
	}
	switch status {
	case "half-installed", "unpacked", "half-configured", "triggers-awaited":
		s.state.Broken = true
	}
	if flag == "reinstreq" {
		s.state.Broken = true
	}
	return field[0], s, true
}

// Candidates returns the versions that apt would install. apt-cache takes a second on a small machine, so its answer is
// kept.
func (m *Manager) Candidates(ctx context.Context, names ...string) (map[string]string, error) {
	if err := checkNames("ask for the candidate of", names); err != nil || len(names) == 0 {
		return nil, err
	}
	if _, err := m.programs.Find("apt-cache"); err != nil {
		return nil, nil
	}
	m.offersMutex.Lock()
	defer m.offersMutex.Unlock()
	if !slices.ContainsFunc(names, func(name string) bool { _, known := m.offers[name]; return !known }) {
		return maps.Clone(m.offers), nil
	}
	out, err := m.programs.Do(ctx, "ask for the candidates of packages", program.Command{Name: "apt-cache", Args: append([]string{"policy", "--"}, names...)})
	if err != nil {
		return nil, err
	}
	if m.offers == nil {
		m.offers = map[string]string{}
	}
	offers := parsePolicy(out.Stdout)
	for _, name := range names {
		m.offers[name] = offers[name]
	}
	return maps.Clone(m.offers), nil
}

// forgetOffers is called after every change that can affect apt's offers.
func (m *Manager) forgetOffers() {
	m.offersMutex.Lock()
	defer m.offersMutex.Unlock()
	m.offers = nil
}

func parsePolicy(text string) map[string]string {
	candidates := make(map[string]string)
	name := ""
	for line := range strings.Lines(text) {
		words := strings.TrimSpace(line)
		if !strings.HasPrefix(line, " ") {
			name = strings.TrimSuffix(words, ":")
		} else if version, ok := strings.CutPrefix(words, "Candidate: "); ok && version != "(none)" {
			candidates[name] = version
		}
	}
	return candidates
}

// HoldPackage marks a package as held against upgrades, or removes the mark.
func (m *Manager) HoldPackage(ctx context.Context, name string, hold bool) error {
	return m.effect.Do(fmt.Sprintf("HoldPackage %s %t", name, hold), func() error { return m.setHold(ctx, name, hold) })
}

func (m *Manager) setHold(ctx context.Context, name string, hold bool) error {
	do, want := "hold "+name, "hold"
	if !hold {
		do, want = "release "+name+" from being held", "install"
	}
	if err := checkNames("hold", []string{name}); err != nil {
		return err
	}
	states, err := m.dpkgStates(ctx, name)
	if err != nil {
		return err
	}
	now := states[name]
	if now.state.Held == hold {
		return nil
	}
	if !hold && !now.present {
		want = "deinstall"
	}
	err = m.programs.RetryLocked(ctx, func() error {
		c := program.Command{Name: "dpkg", Args: []string{"--set-selections"}, Stdin: name + " " + want + "\n", Limit: program.NoLimit}
		_, err := m.programs.Do(context.WithoutCancel(ctx), do, c)
		return err
	})
	if err != nil {
		return err
	}
	if states, err = m.dpkgStates(ctx, name); err != nil { // dpkg only warns about an unknown package
		return err
	}
	if states[name].state.Held != hold {
		return fmt.Errorf("cannot %s: the package is not installed", do)
	}
	return nil
}

// present returns the names of all packages with files on the machine, complete or not.
func (m *Manager) present(ctx context.Context) ([]string, error) {
	states, err := m.queryDpkg(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for name, s := range states {
		if s.present {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}
