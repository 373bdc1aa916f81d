package reconcile

import (
	"context"
	"reflect"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// Loaded says which configuration a unit's processes run.
type Loaded struct {
	Invocation string `json:"invocation"`       // the run of the unit that this is true of
	Config     string `json:"config,omitempty"` // path of the file
	Digest     string `json:"digest"`           // of the file when they last read it; "" where nobody knows
}

// readLoaded reads what the units have loaded. It is empty after a boot.
func readLoaded(ctx context.Context, o host.Observer) (map[string]Loaded, error) {
	loaded := map[string]Loaded{}
	return loaded, readJSON(ctx, o, loadedFile, &loaded)
}

// loadedBy is the digest of what a running unit has loaded. A unit that nobody reloaded since it started, and whose
// file is older than that start, runs the file; of any other only the agent's own record tells.
func loadedBy(unit host.Unit, file host.File, record Loaded) string {
	switch {
	case record.is(unit):
		return record.Digest
	case file.Exists && !file.Changed.IsZero() && file.Changed.Before(unit.ActiveSince):
		return digest(file.Data)
	}
	return ""
}

func (l Loaded) is(unit host.Unit) bool {
	return l.Invocation == unit.InvocationID && l.Invocation != ""
}

// moved says whether a running unit was started with its configuration at another place than it has now: a reload
// would read the old place again.
func moved(unit host.Unit, config string, record Loaded, last Memory) bool {
	if !unit.Active() {
		return false
	}
	former := configOf(unit)
	if former == "" && record.is(unit) {
		former = record.Config
	}
	if former == "" {
		former = last.configOf(unit.Name)
	}
	return former != "" && former != config
}

// configOf is where the running processes of a unit were told to find their configuration, or "".
func configOf(u host.Unit) string {
	if len(u.CommandLine) == 0 {
		return ""
	}
	line := strings.Join(u.CommandLine, " ")
	switch u.Name {
	case host.HAProxyUnit:
		return argument(line, "-f", "--")
	case host.KeepalivedUnit:
		if config := argument(line, "-f", "--use-file"); config != "" {
			return config
		}
		return render.DefaultKeepalivedConfig
	}
	return ""
}

// forgetLoaded comes before a reload, and recordLoaded after the look that it worked. A run that dies between writing
// a file and the reload, or between the reload and that look, would else leave an old configuration in force for good.
func forgetLoaded(ctx context.Context, h host.Host, name string) error {
	loaded, err := readLoaded(ctx, h)
	if err != nil {
		return err
	}
	unit, err := h.Unit(ctx, name)
	if err != nil {
		return err
	}
	record := loaded[name]
	if !record.is(unit) {
		record.Config = ""
	}
	record.Invocation, record.Digest = unit.InvocationID, ""
	loaded[name] = record
	return writeJSON(ctx, h, loadedFile, loaded)
}

// recordLoaded remembers which configuration the units of these steps have read just now.
func recordLoaded(ctx context.Context, h host.Host, steps []Step) error {
	before, err := readLoaded(ctx, h)
	if err != nil {
		return err
	}
	loaded, err := readLoaded(ctx, h)
	if err != nil {
		return err
	}
	for _, s := range steps {
		name, config := loads(s)
		if name == "" || config == "" {
			continue
		}
		unit, err := h.Unit(ctx, name)
		if err != nil {
			return err
		}
		file, err := h.File(ctx, config)
		if err != nil {
			return err
		}
		loaded[name] = Loaded{Invocation: unit.InvocationID, Config: config, Digest: digest(file.Data)}
	}
	if reflect.DeepEqual(before, loaded) {
		return nil
	}
	return writeJSON(ctx, h, loadedFile, loaded)
}

// loads is the unit that a step makes load its configuration, and where that is, or "".
func loads(s Step) (name, config string) {
	switch s := s.(type) {
	case startUnit:
		return s.name, s.config
	case reloadUnit:
		return s.name, s.config
	case restartUnit:
		return s.name, s.config
	case rejoin:
		return s.name, s.config
	case rejoinFormer:
		return s.name, s.config
	case setServer:
		return host.HAProxyUnit, s.config
	case addServer:
		return host.HAProxyUnit, s.config
	case retireServer:
		return host.HAProxyUnit, s.config
	}
	return "", ""
}
