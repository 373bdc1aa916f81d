package plan

import (
	"context"
	"fmt"
	"slices"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// A new version of a program counts as a change: it may refuse a configuration that the old version accepted, or may need
// the configuration rendered differently. The memory's facts hold the versions of the last run.

const verbCheck = "check"

// checkVersion records that the configuration was checked with a version of its program other than in the last run. The
// check itself runs before the first step.
func checkVersion(program string, was, now render.Version) Step {
	return Step{
		Verb: verbCheck, Object: program,
		Text: fmt.Sprintf("check the configuration with %s %s, it was checked with %s", program, now, was),
		Do: func(ctx context.Context, t *Tools) error {
			*t.Memory.Facts.VersionOf(program) = now
			return t.Memory.Save(ctx, t.Host)
		},
	}
}

// programs plans a check with each program whose version differs from the last run. A program that is yet to be installed
// cannot check.
func (p *planner) programs() {
	if len(p.Install) > 0 {
		return
	}
	for _, program := range []string{"haproxy", "keepalived"} {
		was, now := *p.o.Memory.Facts.VersionOf(program), *p.d.Facts.VersionOf(program)
		if was != "" && was != now {
			p.configure(checkVersion(program, was, now))
		}
	}
}

// replaced plans the restart or reload of a unit that still runs a replaced program. It reports whether no other step for
// the unit is needed. HAProxy's master process starts the new program at each reload and loses nothing. keepalived does
// not, and its restart would hand over the virtual IPs; so the restart waits until this host holds none.
func (p *planner) replaced(want UnitWant) bool {
	switch {
	case !p.o.Units[want.Name].Replaced:
		return false
	case want.Name == host.HAProxyUnit:
		p.configure(reloadUnit(want.Name, want.Config))
		return true
	case p.o.Holds:
		p.Pending = append(p.Pending, want.Name+" still runs the program from before an upgrade; it is restarted when this host holds no virtual IP")
		return false
	}
	p.configure(restartUnit(want.Name, want.Config, "which still runs the program from before an upgrade"))
	return true
}

// Checkable are the files that the installed programs can check, without files for a version that is yet to be installed.
func (l Look) Checkable() []render.File {
	programs := map[render.Kind]string{render.HAProxyConfig: "haproxy", render.KeepalivedConfig: "keepalived"}
	return slices.DeleteFunc(slices.Clone(l.Desired.Files), func(f render.File) bool {
		program, judged := programs[f.Kind]
		installed := l.Observed.Packages[program].Version
		return judged && installed != "" && installed != string(*l.Desired.Facts.VersionOf(program))
	})
}

// ToCheck are the Checkable files whose program is about to read a changed configuration.
func (l Look) ToCheck() []render.File {
	haproxy, keepalived := l.changesHAProxy(), l.changesKeepalived()
	return slices.DeleteFunc(l.Checkable(), func(f render.File) bool {
		return f.Kind == render.HAProxyConfig && !haproxy || f.Kind == render.KeepalivedConfig && !keepalived
	})
}
