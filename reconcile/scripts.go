package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/api/yamlfile"
	"rlb.dev/rlb-agent/reconcile/host"
)

// HostProblems are the problems of a spec that show only on the host. keepalived and HAProxy open these files as root, each
// time again. keepalived refuses to run a program that other users can write, but does not report this where its user would
// look. The error is yamlfile.Problems.
func HostProblems(ctx context.Context, o host.FileReader, doc *api.Document) error {
	var problems yamlfile.Problems
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
		default:
			if err := o.RootOnly(ctx, path); err != nil && !errors.Is(err, host.ErrUnavailable) {
				problems = append(problems, doc.Problem(field, "%v, so keepalived will not run it", err))
			}
		}
	}
	for i, service := range doc.Spec.Services {
		if path := service.HealthCheck.CAFile; path != "" {
			// HAProxy itself reports a missing file
			if err := o.RootOnly(ctx, path); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, host.ErrUnavailable) {
				problems = append(problems, doc.Problem(fmt.Sprintf("services[%d].healthCheck.caFile", i), "%v, so other users could replace the certificates that HAProxy trusts", err))
			}
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return problems.InOrder()
}
