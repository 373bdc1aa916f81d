package plan

import (
	"context"
	"fmt"
	"slices"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// A program that changed is a change: what an earlier version took, and was rendered for it, another one may refuse, or
// need rendered in another way. The versions of the last run stand in the memory's facts.

const verbCheck = "check"

// checkVersion notes that the configuration was checked with another version of its program than before. The check comes
// before the first step.
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

// programs plans a check with each program that is another version than in the last run. One that is yet to be installed
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

// replaced plans what makes a unit run the program that is installed, where it still runs a former one; it says
// whether that is all there is to do. HAProxy's master begins anew with each reload and loses nothing; keepalived does
// not, and its restart would hand the virtual IPs over: it waits until this host holds none.
func (p *planner) replaced(want UnitWant) bool {
	switch {
	case !p.o.Units[want.Name].Replaced:
		return false
	case want.Name == host.HAProxyUnit:
		p.configure(reloadUnit(want.Name, want.Config))
		return true
	case p.o.Holds:
		p.Pending = append(p.Pending, want.Name+" still runs a program that was replaced since it started; it is restarted when this host holds no virtual IP")
		return false
	}
	p.configure(restartUnit(want.Name, want.Config, "which still runs a program that was replaced since it started"))
	return true
}

// Checkable are the files that the installed programs can judge: not those for a version that is yet to be installed.
func (l Look) Checkable() []render.File {
	programs := map[render.Kind]string{render.HAProxyConfig: "haproxy", render.KeepalivedConfig: "keepalived"}
	return slices.DeleteFunc(slices.Clone(l.Desired.Files), func(f render.File) bool {
		program, judged := programs[f.Kind]
		installed := l.Observed.Packages[program].Version
		return judged && installed != "" && installed != string(*l.Desired.Facts.VersionOf(program))
	})
}

// ToCheck are the Checkable files whose program is about to read something new.
func (l Look) ToCheck() []render.File {
	haproxy, keepalived := l.changesHAProxy(), l.changesKeepalived()
	return slices.DeleteFunc(l.Checkable(), func(f render.File) bool {
		return f.Kind == render.HAProxyConfig && !haproxy || f.Kind == render.KeepalivedConfig && !keepalived
	})
}
