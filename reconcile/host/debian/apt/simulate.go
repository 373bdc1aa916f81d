package apt

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host/debian/program"
)

// allowed lists the packages that apt may remove, downgrade, and change although they are held. apt may install and upgrade
// others, unless installsNone.
type allowed struct {
	removed, downgraded, held []string
	installsNone              bool
}

// simulatedApt runs apt-get after a simulation (-s), and refuses it if it would do more than is allowed. The package lists
// can be wrong, and a resolver that cannot do what was requested can do something else.
func (m *Manager) simulatedApt(ctx context.Context, do string, may allowed, args ...string) error {
	out, err := m.programs.Do(ctx, do, program.Command{Name: "apt-get", Args: append(append(m.aptOptions(), "-s"), args...)})
	if err != nil {
		return err
	}
	if more := parseSimulation(out.Stdout).beyond(may); more != "" {
		return fmt.Errorf("cannot %s: that would also %s", do, more)
	}
	_, err = m.apt(ctx, do, args...)
	return err
}

// simulation lists the packages that a run of apt-get -s would change.
type simulation struct{ installed, removed, downgraded, held []string }

// parseSimulation parses the steps ("Inst haproxy (2.6.12 …)") and, before them, the lists below these headings:
//
//	The following packages will be DOWNGRADED:
//	  liblua5.3-0
//	The following held packages will be changed:
//	  libssl3
func parseSimulation(text string) simulation {
	var s simulation
	list := new([]string) // list below the current heading; other lists are discarded
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case strings.HasPrefix(line, " "):
			for _, word := range words {
				*list = append(*list, bareName(word))
			}
		case strings.HasSuffix(words[len(words)-1], "DOWNGRADED:"):
			list = &s.downgraded
		case strings.Contains(line, "held packages will be changed:"):
			list = &s.held
		default:
			list = new([]string)
		}
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "Inst":
			s.installed = append(s.installed, bareName(words[1]))
		case "Remv", "Purg":
			s.removed = append(s.removed, bareName(words[1]))
		}
	}
	return s
}

// bareName returns a package's name without the architecture.
func bareName(word string) string {
	name, _, _ := strings.Cut(word, ":")
	return name
}

// beyond returns the changes of a simulation that are not allowed, or "".
func (s simulation) beyond(may allowed) string {
	var all []string
	say := func(verb string, names []string) {
		if len(names) > 0 {
			all = append(all, verb+" "+strings.Join(names, ", "))
		}
	}
	if may.installsNone {
		say("install", s.installed)
	}
	say("remove", notAmong(s.removed, may.removed))
	say("downgrade", notAmong(s.downgraded, may.downgraded))
	say("change the held", notAmong(s.held, may.held))
	return strings.Join(all, " and ")
}

func notAmong(names, allowed []string) []string {
	var others []string
	for _, name := range names {
		if !slices.Contains(allowed, name) && !slices.Contains(others, name) {
			others = append(others, name)
		}
	}
	return others
}
