package reconcile

import (
	"context"
	"errors"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
)

// HostProblems are the problems of a spec that show only on the host: keepalived runs no program that others than
// root may write, but says so nowhere that its user would look. The error is api.Problems.
func HostProblems(ctx context.Context, o host.Observer, doc *api.Document) error {
	var problems api.Problems
	n := doc.Spec.VRRP.Notify
	for _, script := range []struct {
		event   string
		command api.Command
	}{
		{"master", n.Master}, {"backup", n.Backup}, {"fault", n.Fault}, {"stop", n.Stop},
	} {
		if len(script.command) == 0 {
			continue
		}
		field, path := "vrrp.notify."+script.event, script.command[0]
		f, err := o.File(ctx, path)
		switch {
		case errors.Is(err, host.ErrUnavailable):
		case err != nil:
			return err
		case !f.Exists:
			problems = append(problems, doc.Problem(field, "there is no file %s on this host", path))
		case f.Mode&0o111 == 0:
			problems = append(problems, doc.Problem(field, "%s is not executable (chmod +x %s)", path, path))
		case f.UID != 0 || f.Mode&0o022 != 0:
			problems = append(problems, doc.Problem(field, "others than root may write %s, so keepalived will not run it", path))
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return problems
}
