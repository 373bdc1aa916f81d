package yamlfile

import (
	"fmt"
	"slices"
)

// Report collects problems. It leaves out follow-up problems: each field is reported once. Its size is bounded, however
// many problems there are.
type Report struct {
	file     string
	total    int
	problems Problems        // the earliest in the file
	horizon  Place           // problems from this place on are only counted; zero if there is no such place
	at       map[string]bool // fields that have a problem
	beneath  map[string]bool // fields that have a problem somewhere beneath them
	said     map[saying]bool // so that a problem within an alias is counted once
}

// saying identifies a problem: two problems with the same saying count as one.
type saying struct {
	Place
	message string
}

// maxCovered bounds at, beneath and said. A file with more problems is not checked further.
const maxCovered = 10_000

// NewReport returns an empty report on a file.
func NewReport(file string) *Report {
	return &Report{file: file, at: map[string]bool{}, beneath: map[string]bool{}, said: map[saying]bool{}}
}

// Full reports whether there are so many problems that follow-up problems are no longer recognized.
func (r *Report) Full() bool { return r.total > maxCovered }

// Add reports a problem of a field, unless the field or one of its parents already has one.
func (r *Report) Add(where Place, path, format string, args ...any) {
	if !r.Covered(path) {
		r.AddAlways(where, path, format, args...)
		r.Cover(path)
	}
}

// AddMissing is Add for a missing field: the problem is reported at its parent.
func (r *Report) AddMissing(where Place, parentPath, field string) {
	if path := Join(parentPath, field); !r.Covered(path) {
		r.AddAlways(where, parentPath, "required field %q is missing", field)
		r.Cover(path)
	}
}

// AddAlways reports a problem even if its field has one already. The problem hides no other.
func (r *Report) AddAlways(where Place, path, format string, args ...any) {
	if r.Full() && !r.Reports(where) {
		r.total++
		return
	}
	message := format
	if len(args) > 0 {
		message = fmt.Sprintf(format, args...)
	}
	if this := (saying{where, message}); r.said[this] {
		return
	} else if !r.Full() {
		r.said[this] = true
	}
	r.total++
	if !r.Reports(where) {
		return
	}
	r.problems = append(r.problems, Problem{File: r.file, Line: where.line, Column: where.column, Path: path, Message: message})
	if len(r.problems) >= 10*MaxProblems {
		r.trim()
	}
}

// Reports reports whether a problem at a place may be among the first MaxProblems.
func (r *Report) Reports(where Place) bool {
	return r.horizon == Place{} || where.compare(r.horizon) < 0
}

// trim sorts the problems, and keeps those that may be reported and one more. Problems with the same place and message
// (from an alias) become one.
func (r *Report) trim() {
	slices.SortStableFunc(r.problems, inOrder)
	before := len(r.problems)
	r.problems = slices.CompactFunc(r.problems, func(a, b Problem) bool { return a.place() == b.place() && a.Message == b.Message })
	r.total -= before - len(r.problems)
	if len(r.problems) > MaxProblems {
		r.problems = slices.Clip(r.problems[:MaxProblems+1])
		r.horizon = r.problems[MaxProblems].place()
	}
}

// Sorted returns the problems in the order of the file.
func (r *Report) Sorted(text Text) Problems {
	r.trim()
	for i := range r.problems {
		r.problems[i].line = excerptable(text.line(r.problems[i].Line))
	}
	if len(r.problems) > MaxProblems {
		last := &r.problems[MaxProblems]
		last.Path, last.Message = "", "and "+thousands(r.total-MaxProblems)+" more"
	}
	return r.problems
}

// Cover marks a field, so that Add reports no further problem of it.
func (r *Report) Cover(path string) {
	if r.Full() {
		return
	}
	r.at[path] = true
	for path != "" {
		path = Parent(path)
		r.beneath[path] = true
	}
}

// Covered reports whether Cover was called for a field or one of its parents.
func (r *Report) Covered(path string) bool {
	if len(r.at) == 0 {
		return false
	}
	for !r.at[path] {
		if path == "" {
			return false
		}
		path = Parent(path)
	}
	return true
}

// Spotless reports whether no field has a problem. The caller then saves making paths for Sound.
func (r *Report) Spotless() bool { return len(r.at) == 0 }

// Sound reports whether the fields, their parents and all that is beneath them have no problems.
func (r *Report) Sound(paths ...string) bool {
	return !slices.ContainsFunc(paths, func(path string) bool { return r.Covered(path) || r.beneath[path] })
}
