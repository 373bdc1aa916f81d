package reconcile

import (
	"errors"

	"rlb.dev/rlb-agent/api/yamlfile"
	"rlb.dev/rlb-agent/reconcile/plan"
)

// Message is an error in words for people. Problems of a spec have their own form, a line each; so has a field that this
// host cannot fulfil, without what led to it: located is that the text begins with where the problem is.
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
