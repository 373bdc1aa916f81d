package reconcile

import (
	"errors"

	"rlb.dev/rlb-agent/api/yamlfile"
	"rlb.dev/rlb-agent/reconcile/plan"
)

// Message words an error for people. Problems of a spec are printed in their own format, one per line. A field that this
// host cannot fulfil is printed without the errors around it. located means that the text begins with the position of the
// problem.
func Message(err error) (text string, located bool) {
	var (
		problems yamlfile.Problems
		failure  *Failure
		field    *plan.FieldError
	)
	switch {
	case errors.As(err, &problems):
		return problems.Error(), true
	case errors.As(err, &field) && !errors.As(err, &failure):
		return field.Error(), true
	}
	return err.Error(), false
}
