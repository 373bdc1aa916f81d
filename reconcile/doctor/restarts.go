package doctor

import (
	"context"
	"regexp"
	"slices"
	"strings"
)

// needrestartRule makes needrestart ignore HAProxy and keepalived.
const needrestartRule = `$nrconf{override_rc}{qr(^(haproxy|keepalived)\.service$)} = 0;`

// needrestartMode matches the setting of needrestart's restart mode: l(ist), i(nteractive) or a(utomatic).
var needrestartMode = regexp.MustCompile(`^\s*\$nrconf\{restart\}\s*=\s*['"]([lia])['"]`)

// restarts checks that no other program of the host restarts HAProxy or keepalived, or reboots both hosts at once.
func restarts(ctx context.Context, e *exam) (found []Finding, note string, err error) {
	if found, err = e.needrestart(ctx); err != nil {
		return nil, "", err
	}
	if on, err := e.unattended(ctx); on == "" || err != nil {
		return found, "", err
	}
	reboot, file, err := e.aptSetting(ctx, "Unattended-Upgrade::Automatic-Reboot")
	if err != nil || reboot != "true" && reboot != "1" {
		return found, "", err
	}
	at, _, err := e.aptSetting(ctx, "Unattended-Upgrade::Automatic-Reboot-Time")
	if err != nil || at != "" && at != "now" {
		return found, "unattended-upgrades reboots this host at " + at + ": let the time be another one on each host", err
	}
	return append(found, warningf("unattended-upgrades may reboot both hosts at once",
		`Unattended-Upgrade::Automatic-Reboot-Time "03:00"; in `+file+`, and another time on each other host`,
		"%s lets unattended-upgrades reboot this host right after an upgrade that needs a reboot: the peer may reboot in the same minute", file)), "", nil
}

// needrestart checks whether needrestart restarts HAProxy or keepalived after an upgrade of a library (needrestart(1), and
// the comments in needrestart.conf).
func (e *exam) needrestart(ctx context.Context) ([]Finding, error) {
	program, err := e.host.File(ctx, "/usr/sbin/needrestart")
	if err != nil || !program.Exists {
		return nil, err
	}
	more, err := e.host.Glob(ctx, "/etc/needrestart/conf.d/*.conf")
	if err != nil {
		return nil, err
	}
	mode, free := "i", []string{"haproxy", "keepalived"}
	for _, name := range append([]string{"/etc/needrestart/needrestart.conf"}, more...) {
		f, err := e.host.File(ctx, name)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(f.Data)) {
			line, _, _ = strings.Cut(line, "#")
			if m := needrestartMode.FindStringSubmatch(line); m != nil {
				mode = m[1]
			}
			if value := strings.TrimRight(line, " \t\n;,"); strings.Contains(line, "qr") && strings.HasSuffix(value, "0") {
				free = slices.DeleteFunc(free, func(program string) bool { return strings.Contains(line, program) })
			}
		}
	}
	if mode == "l" || len(free) == 0 {
		return nil, nil
	}
	does := "offers to restart %s (on Ubuntu it does not ask)"
	if mode == "a" {
		does = "restarts %s without asking"
	}
	return []Finding{warningf("needrestart restarts the programs", "write to /etc/needrestart/conf.d/rlb.conf: "+needrestartRule,
		"after an upgrade of a library needrestart "+does+": on the active host a restart moves the virtual IPs or cuts connections", strings.Join(free, " and "))}, nil
}

// aptSetting returns the last value of an option in apt's configuration, and the file that sets it. It understands only lines
// of the form "NAME VALUE;", the form in Debian's and Ubuntu's own files.
func (e *exam) aptSetting(ctx context.Context, name string) (value, file string, err error) {
	paths, err := e.host.Glob(ctx, "/etc/apt/apt.conf.d/*")
	if err != nil {
		return "", "", err
	}
	for _, path := range paths {
		f, err := e.host.File(ctx, path)
		if err != nil {
			return "", "", err
		}
		for line := range strings.Lines(string(f.Data)) {
			if words := strings.Fields(strings.TrimSuffix(strings.TrimSpace(line), ";")); len(words) == 2 && words[0] == name {
				value, file = strings.Trim(words[1], `"`), path
			}
		}
	}
	return value, file, nil
}
