package doctor

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
)

// loadedProfiles lists the profiles loaded in the kernel, one "NAME (MODE)" a line (apparmor(7)). The file does not exist if
// AppArmor is off.
const loadedProfiles = "/sys/kernel/security/apparmor/profiles"

// appArmor checks that no AppArmor profile denies HAProxy and keepalived access to the agent's files. Debian's and Ubuntu's
// packages contain no profile for them.
func appArmor(ctx context.Context, e *exam) (found []Finding, note string, err error) {
	profiles, err := e.host.File(ctx, loadedProfiles)
	if err != nil || !profiles.Exists {
		return nil, "", err
	}
	for line := range strings.Lines(string(profiles.Data)) {
		name, mode, _ := strings.Cut(strings.TrimSpace(line), " (")
		if mode = strings.TrimSuffix(mode, ")"); mode != "enforce" && mode != "kill" {
			continue
		}
		for program, needs := range map[string]string{
			"haproxy":    "/etc/haproxy/** r, /run/haproxy/** rwk, /run/rlb/** r, /var/lib/rlb/** r,",
			"keepalived": "/etc/keepalived/** r, /run/rlb/** rw, /var/lib/rlb/** r, /usr/bin/systemctl Ux,",
		} {
			if base := path.Base(name); base != program && base != "usr.sbin."+program {
				continue
			}
			allowed, err := e.allowsAgent(ctx, program)
			if err != nil {
				return nil, "", err
			}
			if !allowed {
				found = append(found, warningf("AppArmor confines "+program, fmt.Sprintf(
					"add to the profile's file under /etc/apparmor.d/local: %s; then systemctl reload apparmor. journalctl -k --grep apparmor=.DENIED shows what else it refuses", needs),
					"the AppArmor profile %s is in %s mode, and no file under /etc/apparmor.d/local allows it to read /run/rlb: %s cannot read the files of the agent", name, mode, program))
			}
		}
	}
	return found, "", nil
}

// allowsAgent says whether a file of the program's profile under /etc/apparmor.d, or its local part, names /run/rlb/.
func (e *exam) allowsAgent(ctx context.Context, program string) (bool, error) {
	var errs []error
	for _, pattern := range []string{"/etc/apparmor.d/local/*" + program + "*", "/etc/apparmor.d/*" + program + "*"} {
		paths, err := e.host.Glob(ctx, pattern)
		errs = append(errs, err)
		for _, path := range paths {
			f, err := e.host.File(ctx, path)
			if errs = append(errs, err); strings.Contains(string(f.Data), "/run/rlb/") {
				return true, nil
			}
		}
	}
	return false, errors.Join(errs...)
}
