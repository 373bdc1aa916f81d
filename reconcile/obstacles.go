package reconcile

import (
	"context"
	"errors"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/api/yamlfile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/plan"
)

// Obstacles is why this host cannot bring a spec into force now, as far as this is visible before anything changes:
// programs and files that root must not use, ports that other programs use, virtual IPs for which other machines answer.
// takeOver are the MACs of machines from which a virtual IP may be taken. look is the look at this host for the spec. The
// error is yamlfile.Problems, a *plan.FieldError, or the reason why this host cannot be looked at.
func Obstacles(ctx context.Context, o host.Observer, doc *api.Document, look plan.Look, takeOver []string) error {
	if err := HostProblems(ctx, o, doc); err != nil {
		return err
	}
	if look.ChangesPrograms() {
		if err := takenPorts(ctx, o, look.Desired); err != nil {
			return failedLook(err, doc)
		}
	}
	if err := otherHolders(ctx, o, doc, look, takeOver); err != nil {
		return failedLook(err, doc)
	}
	return nil
}

// failedLook adds the position in the file to a field's error; it makes any other error a Failure of the look.
func failedLook(err error, doc *api.Document) error {
	if field := (*plan.FieldError)(nil); errors.As(err, &field) {
		return plan.Placed(err, doc)
	}
	return &Failure{Err: err}
}

// Passing reports whether a spec was refused because of something on this host that may pass, such as what Obstacles finds:
// the same spec may be accepted later. Nothing was changed then.
func Passing(err error) bool {
	var (
		failure  *Failure
		problems yamlfile.Problems
		field    *plan.FieldError
	)
	return !errors.As(err, &failure) && (errors.As(err, &field) || errors.As(err, &problems))
}
