package api

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong in a spec file, at its place.
type Problem struct {
	// File is the name that Parse was given.
	File string
	// Line and Column count from 1.
	Line, Column int
	// Path of the field, as in services[0].servers[1].address. Empty for the file as a whole.
	Path string
	// Message is a short sentence without a full stop.
	Message string
}

// String is the line that users see: "FILE:LINE:COL: PATH: MESSAGE", without the path where there is none.
func (p Problem) String() string {
	where := fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Path != "" {
		where += p.Path + ": "
	}
	return where + p.Message
}

// Error makes a single problem an error.
func (p Problem) Error() string { return p.String() }

// Problems are all that is wrong in a spec file, in the order of the file.
type Problems []Problem

// Error has one line per problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// report collects problems and keeps follow-ups away: what is said about a field is said once.
type report struct {
	file     string
	problems Problems
	at       map[string]bool // fields that have a problem
	beneath  map[string]bool // fields that have a problem somewhere beneath them
}

func newReport(file string) *report {
	return &report{file: file, at: map[string]bool{}, beneath: map[string]bool{}}
}

// add reports a problem of a field, unless the field or one of its parents already has one.
func (r *report) add(where place, path, message string) {
	if !r.covered(path) {
		r.addAlways(where, path, message)
		r.cover(path)
	}
}

// addMissing is add for a field that is not there: it is reported at its parent.
func (r *report) addMissing(parent place, parentPath, field string) {
	if path := join(parentPath, field); !r.covered(path) {
		r.addAlways(parent, parentPath, fmt.Sprintf("required field %q is missing", field))
		r.cover(path)
	}
}

// addAlways reports a problem that hides no other.
func (r *report) addAlways(where place, path, message string) {
	r.problems = append(r.problems, Problem{r.file, where.line, where.column, path, message})
}

// cover marks a field as one about which nothing more needs to be said.
func (r *report) cover(path string) {
	r.at[path] = true
	for path != "" {
		path = parent(path)
		r.beneath[path] = true
	}
}

func (r *report) covered(path string) bool {
	for !r.at[path] {
		if path == "" {
			return false
		}
		path = parent(path)
	}
	return true
}

// sound tells whether the fields are free of problems, with all that is above and beneath them.
func (r *report) sound(paths ...string) bool {
	return !slices.ContainsFunc(paths, func(path string) bool { return r.covered(path) || r.beneath[path] })
}

// sorted is what was found, in the order of the file. What stands at one place and says the same (by way of an
// alias) is said once.
func (r *report) sorted() Problems {
	type key struct {
		line, column int
		message      string
	}
	seen := map[key]bool{}
	problems := slices.DeleteFunc(r.problems, func(p Problem) bool {
		k := key{p.Line, p.Column, p.Message}
		defer func() { seen[k] = true }()
		return seen[k]
	})
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return problems
}

// join is the path of a field of path.
func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

// index is the path of an entry of a list.
func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// parent is the path without its last step.
func parent(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }
