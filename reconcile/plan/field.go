package plan

import (
	"errors"
	"fmt"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
)

// FieldError names a field of the spec that this host cannot fulfil or that does not work on it. On its own it means that
// nothing was changed; within a Failure it is the cause. The cause may pass: the network may come up, a port may become
// free.
type FieldError struct {
	Field string
	text  string
	place string // file, line and column, once known
}

func FieldErrorf(field, format string, args ...any) error {
	return &FieldError{Field: field, text: fmt.Sprintf(format, args...)}
}

// Error says what is wrong, with the position in the file if it is known.
func (e *FieldError) Error() string {
	if e.place != "" {
		return e.place
	}
	return e.Field + ": " + e.text
}

// Placed adds the position in the file to a FieldError and to refusals of the programs. Other errors stay as they are.
func Placed(err error, doc *api.Document) error {
	for _, refusal := range host.Refusals(err) {
		refusal.Place(doc)
	}
	if e := (*FieldError)(nil); errors.As(err, &e) {
		return &FieldError{Field: e.Field, text: e.text, place: doc.Problem(e.Field, "%s", e.text).String()}
	}
	return err
}
