package fake

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// start starts a unit that is not running.
func (h *Host) start(u *unit) error {
	switch {
	case u.masked != "":
		return fmt.Errorf("cannot start %s: Unit %s is masked", u.name, u.name)
	case !h.hasUnitFile(u.name):
		return fmt.Errorf("cannot start %s: Unit %s not found", u.name, u.name)
	case u.active:
		return nil
	}
	config := ""
	switch u.name {
	case host.HAProxyUnit:
		config = h.environment(u.name)["CONFIG"]
	case host.KeepalivedUnit:
		config = keepalivedConfig(h.environment(u.name)["DAEMON_ARGS"])
		if condition := h.condition(); h.Text(condition) == "" {
			return fmt.Errorf("cannot start %s: its condition is not met: ConditionFileNotEmpty=%s", u.name, condition)
		}
	case render.HandoverUnit:
		h.ticks++
		if err := h.handover("ExecStart="); err != nil {
			u.failed = true
			return fmt.Errorf("cannot start %s: it failed: %w", u.name, err)
		}
		u.begin(h.now())
		return nil
	case render.FirewallUnit:
		if err := h.loadRules(); err != nil {
			u.failed = true
			return fmt.Errorf("cannot start %s: it failed: %w", u.name, err)
		}
		u.begin(h.now())
		return nil
	}
	h.ticks++
	data := h.Text(config)
	if err := h.accepts(u.name, data); err != nil {
		u.failed = true
		return fmt.Errorf("cannot start %s: it failed: %w", u.name, err)
	}
	u.begin(h.now())
	u.pid = h.next()
	u.config, u.loaded = config, data
	u.workers = host.Workers{Current: []int{h.next()}}
	u.servers = serversIn(u.name, data)
	return nil
}

// begin starts a run of the unit.
func (u *unit) begin(now time.Time) {
	u.runs++
	u.active, u.failed, u.invocation, u.since = true, false, fmt.Sprint("run ", u.runs), now
}

func (h *Host) stop(u *unit) {
	if u.active && u.name == render.HandoverUnit {
		_ = h.handover("ExecStopPost=")
	}
	u.active, u.failed, u.replaced, u.pid, u.config, u.loaded, u.workers = false, false, false, 0, "", "", host.Workers{}
	u.servers = nil
}

// reload makes a process read the file that it was started with. HAProxy's unit checks the file first; a failed bind shows
// only after systemd has reported the reload as done. keepalived accepts anything.
func (h *Host) reload(u *unit) error {
	if !u.active {
		return fmt.Errorf("cannot reload %s: it is not running", u.name)
	}
	if u.name == render.HandoverUnit {
		return h.handover("ExecReload=")
	}
	data := h.Text(u.config)
	if u.name != host.HAProxyUnit {
		u.loaded = data
		return nil
	}
	if data == "" || h.forbidden("haproxy", data) != "" {
		return fmt.Errorf("cannot reload %s: it failed", u.name)
	}
	if h.accepts(u.name, data) != nil {
		u.workers.Failed++
		return nil
	}
	u.workers = host.Workers{Old: u.workers.Current, Current: []int{h.next()}}
	u.loaded, u.servers, u.replaced = data, serversIn(u.name, data), false
	return nil
}

// forbidden returns the word in a configuration that the installed program rejects, or "".
func (h *Host) forbidden(program, data string) string {
	for _, key := range []string{program, program + " " + h.Installed(program)} {
		if word := h.Forbidden[key]; word != "" && strings.Contains(data, word) {
			return word
		}
	}
	return ""
}

// accepts says whether a process can run with a configuration.
func (h *Host) accepts(name, data string) error {
	program, _ := strings.CutSuffix(name, ".service")
	if h.forbidden(program, data) != "" {
		return fmt.Errorf("%s refuses its configuration", program)
	}
	if program != "haproxy" {
		return nil
	}
	if data == "" {
		return fmt.Errorf("haproxy has no configuration")
	}
	for _, addr := range binds(data) {
		if h.Busy[addr.Port()] {
			return fmt.Errorf("haproxy cannot bind %v: address already in use", addr)
		}
	}
	return nil
}

// binds returns the TCP sockets on which HAProxy listens with a configuration.
func binds(data string) []netip.AddrPort {
	var all []netip.AddrPort
	for line := range strings.Lines(data) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "bind" || strings.HasPrefix(words[1], "unix@") {
			continue
		}
		text := words[1]
		if port, any4 := strings.CutPrefix(text, "*:"); any4 {
			text = "0.0.0.0:" + port
		} else if port, any6 := strings.CutPrefix(text, ":::"); any6 {
			text = "[::]:" + port
		}
		all = append(all, netip.MustParseAddrPort(text))
	}
	slices.SortFunc(all, netip.AddrPort.Compare)
	return slices.Compact(all)
}

func keepalivedConfig(args string) string {
	if words := strings.Fields(args); len(words) == 2 && (words[0] == "-f" || words[0] == "--use-file") {
		return words[1]
	}
	return render.DefaultKeepalivedConfig
}

// condition returns the file without which systemd does not start keepalived, from the unit files that systemd has read.
func (h *Host) condition() string {
	path := render.DefaultKeepalivedConfig
	for line := range strings.Lines(h.manager[render.KeepalivedDropIn]) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "ConditionFileNotEmpty="); ok && value != "" {
			path = value
		}
	}
	return path
}

// loadRules does what rlb-firewall.service does.
func (h *Host) loadRules() error {
	for family, path := range map[api.Family]string{api.IPv4: "/var/lib/rlb/rules.v4", api.IPv6: "/var/lib/rlb/rules.v6"} {
		t := h.tables[family]
		if i := slices.Index(t["INPUT"], render.Jump); i >= 0 {
			t["INPUT"] = slices.Delete(t["INPUT"], i, i+1)
		}
		if err := h.restore(family, h.Text(path)); err != nil {
			return err
		}
	}
	return nil
}

// Check makes the programs reject what is Forbidden.
func (h *Host) Check(ctx context.Context, files []render.File) (unchecked []string, err error) {
	if err := h.look(ctx, "Check"); err != nil {
		return nil, err
	}
	for _, f := range files {
		program := map[render.Kind]string{render.HAProxyConfig: "haproxy", render.KeepalivedConfig: "keepalived"}[f.Kind]
		switch word := h.forbidden(program, string(f.Data)); {
		case f.Kind != render.HAProxyConfig && f.Kind != render.KeepalivedConfig:
		case h.Installed(program) == "":
			unchecked = append(unchecked, program)
		case word != "":
			line := 1 + strings.Count(string(f.Data[:strings.Index(string(f.Data), word)]), "\n")
			verdict := host.Verdict{Path: f.Path, Line: line, Text: "unknown keyword '" + word + "'"}
			verdict.Origin = f.Causes().Of(line, verdict.Text)
			return unchecked, &host.Refusal{Program: program, Lines: []host.Verdict{verdict}}
		}
	}
	return unchecked, nil
}

// Workers returns HAProxy's processes.
func (h *Host) Workers(ctx context.Context, masterSocket string) (host.Workers, error) {
	if err := h.look(ctx, "Workers"); err != nil {
		return host.Workers{}, err
	}
	if u := h.seen(host.HAProxyUnit); u.active && strings.HasSuffix(h.environment(u.name)["EXTRAOPTS"], " "+masterSocket) {
		workers := u.workers
		if h.Reloading {
			workers = host.Workers{Current: []int{h.serial + 1}, Old: u.workers.Current}
		}
		if h.OldMaster {
			workers.Failed = 0
		}
		return workers, nil
	}
	return host.Workers{}, unavailable("ask HAProxy's master for its workers: no such file or directory")
}

// Listeners returns the sockets on which the processes listen.
func (h *Host) Listeners(ctx context.Context, pids ...int) ([]netip.AddrPort, error) {
	if err := h.look(ctx, "Listeners"); err != nil {
		return nil, err
	}
	u := h.seen(host.HAProxyUnit)
	if !h.Deaf && slices.ContainsFunc(pids, func(pid int) bool { return slices.Contains(u.workers.Current, pid) }) {
		return binds(u.loaded), nil
	}
	return nil, nil
}
