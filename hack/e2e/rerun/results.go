package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// An event is a line of "go test -json" ("go doc test2json").
type event struct {
	Action  string
	Package string
	Test    string // empty for events of the package
	Output  string
	Elapsed float64 // seconds
}

// A result is the result of a test with its subtests, or of the rest of a package.
type result struct {
	pkg, name string
	action    string // pass, fail or skip; empty while it runs
	seconds   float64
	output    strings.Builder
}

// String returns the subject and the test.
func (r *result) String() string { return strings.TrimSpace(path.Base(r.pkg) + " " + r.name) }

// results has the results of one go test, in the order in which the tests began.
type results struct {
	all     []*result
	stopped bool // a package ended before all of its tests had run
}

// read reads the events. It writes a line for each test when it ends, and all output of a failed one.
func read(w io.Writer, from io.Reader) (*results, error) {
	r := &results{}
	for events := json.NewDecoder(from); ; {
		var e event
		switch err := events.Decode(&e); {
		case errors.Is(err, io.EOF):
			return r, nil
		case err != nil:
			return r, fmt.Errorf("cannot read the events of go test: %w", err)
		}
		r.take(w, e)
	}
}

func (r *results) take(w io.Writer, e event) {
	name, _, isSubtest := strings.Cut(e.Test, "/")
	switch one := r.of(e.Package, name); e.Action {
	case "build-output":
		fmt.Fprint(w, e.Output)
	case "output":
		one.output.WriteString(e.Output)
	case "pass", "fail", "skip":
		if isSubtest {
			return
		}
		one.action, one.seconds = e.Action, e.Elapsed
		switch {
		case name != "":
			fmt.Fprintf(w, "%s  %s (%.1f s)\n", one.action, one, one.seconds)
		case e.Action == "fail" && r.cutShort(e.Package):
			r.stopped = true
			fmt.Fprintf(w, "%s has not run all of its tests\n", one)
		default:
			return
		}
		if e.Action == "fail" {
			fmt.Fprint(w, one.output.String())
		}
	}
}

// of returns the result of a test, or of a package.
func (r *results) of(pkg, name string) *result {
	i := slices.IndexFunc(r.all, func(one *result) bool { return one.pkg == pkg && one.name == name })
	if i >= 0 {
		return r.all[i]
	}
	one := &result{pkg: pkg, name: name}
	r.all = append(r.all, one)
	return one
}

// cutShort reports whether a failed package ended before its last test: no test failed, one has no end, or a panic
// ended it.
func (r *results) cutShort(pkg string) bool {
	failed := false
	for _, one := range r.all {
		switch {
		case one.pkg != pkg || one.name == "":
		case one.action == "", strings.Contains("\n"+one.output.String(), "\npanic: "):
			return true
		case one.action == "fail":
			failed = true
		}
	}
	return !failed
}

// failed returns the tests that failed.
func (r *results) failed() (failed []*result) {
	for _, one := range r.all {
		if one.name != "" && one.action == "fail" {
			failed = append(failed, one)
		}
	}
	return failed
}

// writeTimes lists how long each test took, the slowest first.
func (r *results) writeTimes(w io.Writer) {
	sorted := slices.Clone(r.all)
	slices.SortStableFunc(sorted, func(a, b *result) int { return int(1000 * (b.seconds - a.seconds)) })
	sum := 0.0
	fmt.Fprintln(w, "seconds of each test:")
	for _, one := range sorted {
		if one.name != "" && one.action != "skip" {
			sum += one.seconds
			fmt.Fprintf(w, "%7.1f  %s\n", one.seconds, one)
		}
	}
	fmt.Fprintf(w, "%7.1f  in all\n", sum)
}
