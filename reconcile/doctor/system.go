package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/status"
	"rlb.dev/rlb-agent/render"
)

const (
	listsAge = 30 * 24 * time.Hour // older package lists of apt lack recent security updates
)

// units checks that systemd starts the units, and starts them as the packages and the agent define them.
func units(ctx context.Context, e *exam) (found []Finding, note string, err error) {
	for _, name := range append([]string{host.HAProxyUnit, host.KeepalivedUnit, host.AgentUnit}, render.OwnUnits...) {
		unit, uerr := e.host.Unit(ctx, name)
		if uerr != nil {
			return found, "", uerr
		}
		if unit.Masked() {
			unmask := "systemctl unmask "
			if unit.UnitFileState == "masked-runtime" {
				unmask += "--runtime "
			}
			found = append(found, errorf(name+" is masked", unmask+name, "its state is %s: systemd does not start it", unit.UnitFileState))
		}
		if unit.Replaced {
			found = append(found, warningf(name+" runs an old program", runNew(name),
				"its file was replaced by an upgrade since process %d was started", unit.MainPID))
		}
		if unit.ActiveState == "failed" {
			found = append(found, errorf(name+" has failed", "journalctl -u "+name+" -n 50 says why; then systemctl restart "+name, "systemd calls it failed"))
		}
		if name != host.HAProxyUnit && name != host.KeepalivedUnit {
			continue
		}
		files, uerr := e.host.UnitFiles(ctx, name)
		if uerr != nil {
			err = uerr
			continue
		}
		for _, path := range files.DropIns {
			ours := path == render.HAProxyDropIn || path == render.KeepalivedDropIn
			if _, agents := e.memory.Files[path]; !ours && !agents && strings.Contains(path, "/"+name+".d/") {
				found = append(found, warningf(name+" is changed by another drop-in", "systemctl cat "+name+" shows it: remove "+path+" if it is not wanted, then systemctl daemon-reload",
					"%s changes the unit, and it is not the agent's", path))
			}
		}
		// "systemctl revert" would remove the agent's drop-ins too
		if !unit.Masked() && (strings.HasPrefix(files.Fragment, "/etc/") || strings.HasPrefix(files.Fragment, "/run/systemd/system/")) {
			found = append(found, warningf(name+" is overridden", "rm "+files.Fragment+" && systemctl daemon-reload brings the package's unit back", "%s replaces the package's unit", files.Fragment))
		}
	}
	policy, perr := e.host.File(ctx, "/usr/sbin/policy-rc.d")
	if perr == nil && policy.Exists && policy.Mode&0o111 != 0 && strings.Contains(string(policy.Data), "101") {
		found = append(found, warningf("policy-rc.d keeps services from starting", "rm /usr/sbin/policy-rc.d, if nothing on this host needs it",
			"/usr/sbin/policy-rc.d forbids packages to start and restart their services: after an upgrade the old programs go on running"))
	}
	return found, "", err
}

// runNew returns the command that makes a unit run the installed program. For HAProxy a reload is enough. For keepalived and
// the agent it is not.
func runNew(name string) string {
	switch name {
	case host.HAProxyUnit:
		return "systemctl reload " + name
	case host.KeepalivedUnit: // with the profile classic, keepalived does not run while the host is drained
		return "systemctl try-restart " + name + " on the standby; on the active host between rlb-agent drain and rlb-agent undrain"
	}
	return "systemctl restart " + name
}

// packages checks that no program upgrades HAProxy or keepalived at a bad moment, and that apt has recent lists.
func packages(ctx context.Context, e *exam) (found []Finding, note string, err error) {
	all, err := e.host.Packages(ctx, "haproxy", "keepalived", "unattended-upgrades")
	if err != nil {
		return nil, "", err
	}
	periodic, err := e.unattended(ctx)
	if err != nil {
		return nil, "", err
	}
	var free []string
	for _, p := range all[:2] {
		if p.Broken {
			found = append(found, errorf("package "+p.Name+" is half installed", "dpkg --configure -a && apt-get -f install", "dpkg did not finish with %s", p.Name))
		}
		if p.Version != "" && !p.Held {
			free = append(free, p.Name)
		}
	}
	if len(all) == 3 && all[2].Version != "" && periodic != "" && len(free) > 0 {
		fix := "apt-mark hold " + strings.Join(free, " ")
		if hold := e.spec.Packages.Hold; *e.spec.Packages.Manage && hold != nil && !*hold {
			fix = "packages.hold: true in the spec"
		} else if *e.spec.Packages.Manage {
			fix = "rlb-agent --once, which holds them"
		}
		found = append(found, warningf("unattended-upgrades restarts the programs", fix,
			"unattended-upgrades is on (%s), and %s not held: an upgrade may restart the active host at any time", periodic, verb(free)))
	}
	if held := e.last.Updates; held != nil {
		for _, u := range held.HeldBack {
			if u.Security {
				found = append(found, warningf("a security update of "+u.Package+" is held back", "on the standby first: rlb-agent upgrade "+u.Package,
					"%s is installed, %s is offered", u.Version, u.Candidate))
			}
		}
	}
	_, lists, err := e.host.Offers(ctx, e.Now) // reads the lists without a download, because none are newer than now
	if age := e.Now.Sub(lists); err == nil && !lists.IsZero() && lists.Before(e.Now) && age > listsAge && *e.spec.Packages.Manage {
		found = append(found, warningf("apt's lists are old", "apt-get update", "the last successful update was %d days ago: newer security updates are not known here", int(age.Hours()/24)))
	}
	return found, "", err
}

func verb(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return strings.Join(names, " and ") + " are"
}

// unattended returns the file that switches unattended-upgrades on, or "".
func (e *exam) unattended(ctx context.Context) (string, error) {
	value, file, err := e.aptSetting(ctx, "APT::Periodic::Unattended-Upgrade")
	if value == "0" {
		return "", err
	}
	return file, err
}

// agent checks that the agent runs on this host, and the result of its last run.
func agent(ctx context.Context, e *exam) (found []Finding, note string, err error) {
	if !e.applied() {
		return nil, "", errors.New("the agent has not changed this host yet")
	}
	unit, err := e.host.Unit(ctx, host.AgentUnit)
	if err != nil {
		return nil, "", err
	}
	if !unit.Active() {
		found = append(found, errorf("the agent does not run", "systemctl enable --now "+host.AgentUnit, "%s is %s: drift is not repaired, and failover is slow", host.AgentUnit, unit.ActiveState))
	}
	if e.lastErr != nil {
		return found, "", e.lastErr
	}
	run := e.last.LastReconcile
	if run == nil {
		return found, "no reconcile since the boot", nil
	}
	age := e.Now.Sub(run.Time).Round(time.Second)
	switch run.Result {
	case status.Converged, status.Changed:
		note = fmt.Sprintf("the last change succeeded %v ago", age)
	default:
		found = append(found, errorf("the last reconcile did not succeed", "rlb-agent --once --dry-run shows what is left; fix the error, then rlb-agent --once", "%s %v ago: %s", run.Result, age, run.Error))
	}
	if steps := e.look.Plan.Steps(); e.lookErr == nil && len(steps) > 0 {
		fix := "rlb-agent --once --dry-run shows the steps, rlb-agent --once makes them"
		if file := e.Doc.File; file != specPath { // a spec that is examined before it comes into force
			fix = fmt.Sprintf("rlb-agent --once --dry-run --spec %[1]s shows the steps, rlb-agent try --timeout 120s %[1]s makes them until rlb-agent confirm", file)
		}
		found = append(found, warningf("this host is not in sync with the spec", fix,
			"the last run (%s) was %v ago, and %d steps are left, first: %s", run.Result, age, len(steps), steps[0]))
	}
	return found, note, nil
}
