package fake

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/api"
)

// Dump returns all of the host's state as text, for comparison: packages, units with the configuration that their processes
// have loaded, the firewall, files. It leaves out times, process ids and other values without meaning, and files whose path
// begins with one of without.
func (h *Host) Dump(without ...string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(h.packages)) {
		p := h.packages[name]
		fmt.Fprintf(&b, "package %s %s%s%s\n", name, p.version, word(p.broken, " broken"), word(p.held, " held"))
	}
	for _, name := range slices.Sorted(maps.Keys(h.units)) {
		h.dumpUnit(&b, h.units[name])
	}
	for _, family := range api.Families {
		t := h.tables[family]
		for _, chain := range slices.Sorted(maps.Keys(t)) {
			if len(t[chain]) > 0 || !builtin(chain) {
				fmt.Fprintf(&b, "%v chain %s\n", family, chain)
			}
			for _, rule := range t[chain] {
				fmt.Fprintf(&b, "    %s\n", rule)
			}
		}
	}
	h.kernel.dump(&b)
	for _, path := range slices.Sorted(maps.Keys(h.files)) {
		if slices.ContainsFunc(without, func(prefix string) bool { return strings.HasPrefix(path, prefix) }) {
			continue
		}
		f := h.files[path]
		fmt.Fprintf(&b, "file %s %04o %d:%d\n%s", path, f.Mode, f.UID, f.GID, indented(string(f.Data)))
	}
	return b.String()
}

func (h *Host) dumpUnit(b *strings.Builder, u *unit) {
	there := h.hasUnitFile(u.name)
	if !there && !u.enabled && u.masked == "" && !u.active {
		return
	}
	fmt.Fprintf(b, "unit %s%s%s%s%s", u.name, word(!there, " (no file)"), word(u.enabled, " enabled"), word(u.failed, " failed"),
		word(h.stale(u.name), " needs-daemon-reload"))
	fmt.Fprintf(b, "%s\n", word(u.masked != "", " "+u.masked))
	if u.active {
		fmt.Fprintf(b, "    active%s%s\n", word(u.pid > 0, " "+u.invocation), word(u.workers.Failed > 0, " last reload failed"))
	}
	if u.loaded != "" {
		fmt.Fprintf(b, "    has loaded %s:\n%s", u.config, indented(indented(withoutServers(u.name, u.loaded))))
	}
	for _, s := range slices.SortedFunc(slices.Values(u.servers), func(a, b server) int { return strings.Compare(a.place(), b.place()) }) {
		fmt.Fprintf(b, "    runs %s\n", s)
	}
}

func word(is bool, text string) string {
	if is {
		return text
	}
	return ""
}

func indented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("    " + line)
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		b.WriteString("\\ no newline\n")
	}
	return b.String()
}

// Loaded returns the configuration that a unit's process has loaded; "" if it does not run.
func (h *Host) Loaded(name string) string { return h.unit(name).loaded }
