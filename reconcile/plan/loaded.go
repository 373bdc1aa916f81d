package plan

import (
	"context"
	"maps"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

// loadedBy is the digest of the configuration that a running unit has loaded. The agent's own record says it. Without a
// record, a unit whose file is older than the start of the unit runs that file. Else the result is "".
func loadedBy(unit host.Unit, file host.File, record state.Loaded) string {
	switch {
	case record.Is(unit):
		return record.Digest
	case file.Exists && !file.Changed.IsZero() && file.Changed.Before(unit.ActiveSince):
		return host.Digest(file.Data)
	}
	return ""
}

// moved reports whether a running unit was started with its configuration at a different path: a reload would read the old
// path again.
func moved(unit host.Unit, config string, record state.Loaded, last state.Memory) bool {
	if !unit.Active() {
		return false
	}
	former := configOf(unit)
	if former == "" && record.Is(unit) {
		former = record.Config
	}
	if former == "" {
		former = last.ConfigOf(unit.Name)
	}
	return former != "" && former != config
}

// configOf is the path of the configuration on the command line of the running processes of a unit, or "".
func configOf(u host.Unit) string {
	if len(u.CommandLine) == 0 {
		return ""
	}
	line := strings.Join(u.CommandLine, " ")
	switch u.Name {
	case host.HAProxyUnit:
		return host.Argument(line, "-f", "--")
	case host.KeepalivedUnit:
		if config := host.Argument(line, "-f", "--use-file"); config != "" {
			return config
		}
		return render.DefaultKeepalivedConfig
	}
	return ""
}

// RecordLoaded records which configuration the units of these steps have just read.
func RecordLoaded(ctx context.Context, h host.Host, steps []Step) error {
	before, err := state.ReadLoaded(ctx, h)
	if err != nil {
		return err
	}
	loaded := maps.Clone(before)
	for _, s := range steps {
		name, config := s.Loads.Unit, s.Loads.Config
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
		loaded[name] = state.Loaded{Invocation: unit.InvocationID, Config: config, Digest: host.Digest(file.Data)}
	}
	if maps.Equal(before, loaded) {
		return nil
	}
	return state.WriteLoaded(ctx, h, loaded)
}
