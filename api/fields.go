package api

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/go-playground/validator/v10"

	"rlb.dev/rlb-agent/api/textrule"
	"rlb.dev/rlb-agent/api/yamlfile"
)

// fieldValidator has our own tags, and reports fields by their JSON names.
var fieldValidator = sync.OnceValue(func() *validator.Validate {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(jsonName)
	for tag, rule := range textrule.ByTag {
		err := v.RegisterValidation(tag, func(field validator.FieldLevel) bool {
			return rule(field.Field().String(), field.Param()) == ""
		})
		if err != nil {
			panic(err) // a tag that the validator reserves
		}
	}
	return v
})

// checkFields checks every given field against its validate tag.
func checkFields(d *Document, found *yamlfile.Report) {
	var failures validator.ValidationErrors
	errors.As(fieldValidator().Struct(&d.Spec), &failures)
	for _, failure := range failures {
		_, path, _ := strings.Cut(failure.Namespace(), ".")
		where, written := d.locate(path)
		switch {
		case failure.Tag() != "required":
			found.Add(where, written, "%s", sentence(failure))
		case written != path || d.given(path):
			found.Add(where, written, "must not be empty")
		default:
			found.AddMissing(where, yamlfile.Parent(path), failure.Field())
		}
	}
}

// sentence says what the value must be, and what was given.
func sentence(failure validator.FieldError) string {
	value := reflect.Indirect(reflect.ValueOf(failure.Value()))
	got := fmt.Sprint(value)
	if value.Kind() == reflect.String {
		got = yamlfile.Quote(got)
	}
	if rule, ours := textrule.ByTag[failure.Tag()]; ours {
		return rule(value.String(), failure.Param()) + ", got " + got + yamlfile.Oddity(value.String())
	}
	switch tag := failure.Tag(); {
	case tag == "oneof" || tag == "eq":
		return "must be " + yamlfile.Either(strings.Fields(failure.Param())) + ", got " + got
	case tag == "endswith":
		return "must end in " + yamlfile.Quote(failure.Param()) + ", got " + got
	case value.Kind() == reflect.Slice:
		return fmt.Sprintf("must have %s entries, got %d", bounds(failure), value.Len())
	default:
		return "must be " + bounds(failure) + ", got " + got
	}
}

// bounds reads both min and max from the validate tag of the field that violates one of them.
func bounds(failure validator.FieldError) string {
	t := reflect.TypeFor[LoadBalancerSpec]()
	var tag string
	for step := range strings.SplitSeq(failure.StructNamespace(), ".") {
		name, _, isEntry := strings.Cut(step, "[")
		field, ok := t.FieldByName(name)
		if !ok {
			continue // the name of the root
		}
		own, ofEntries, _ := strings.Cut(field.Tag.Get("validate"), "dive")
		tag, t = own, field.Type
		if isEntry {
			tag, t = ofEntries, t.Elem()
		}
	}
	low, high := option(tag, "min"), option(tag, "max")
	return low + " to " + high
}

func option(tag, name string) string {
	for part := range strings.SplitSeq(tag, ",") {
		if value, ok := strings.CutPrefix(part, name+"="); ok {
			return value
		}
	}
	return ""
}
