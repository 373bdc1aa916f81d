package yamlfile

import (
	"fmt"
	"slices"
)

// Report collects problems and keeps follow-ups away: what is said about a field is said once. Its size is bounded,
// however much is wrong.
type Report struct {
	file     string
	total    int
	problems Problems        // the earliest in the file
	horizon  Place           // problems from here on are too late to be reported; zero for none
	at       map[string]bool // fields that have a problem
	beneath  map[string]bool // fields that have a problem somewhere beneath them
	said     map[saying]bool // against what an alias would have counted twice
}

// saying is what makes two problems one.
type saying struct {
	Place
	message string
}

// maxCovered bounds at, beneath and said. A file with more problems is not looked into further.
const maxCovered = 10_000

// NewReport is the empty report on a file.
func NewReport(file string) *Report {
	return &Report{file: file, at: map[string]bool{}, beneath: map[string]bool{}, said: map[saying]bool{}}
}

// Full tells whether there are so many problems that follow-ups cannot be told from the rest any more.
func (r *Report) Full() bool { return r.total > maxCovered }

// Add reports a problem of a field, unless the field or one of its parents already has one.
func (r *Report) Add(where Place, path, format string, args ...any) {
	if !r.Covered(path) {
		r.AddAlways(where, path, format, args...)
		r.Cover(path)
	}
}

// AddMissing is Add for a field that is not there: it is reported at its parent.
func (r *Report) AddMissing(where Place, parentPath, field string) {
	if path := Join(parentPath, field); !r.Covered(path) {
		r.AddAlways(where, parentPath, "required field %q is missing", field)
		r.Cover(path)
	}
}

// AddAlways reports a problem that hides no other.
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

// Reports tells whether a problem at that place is among the first.
func (r *Report) Reports(where Place) bool {
	return r.horizon == Place{} || where.compare(r.horizon) < 0
}

// trim sorts the problems, keeps those that may be reported, and one more. What stands at one place and says the same
// (by way of an alias) is one problem.
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

// Sorted is what was found, in the order of the file.
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

// Cover marks a field as one about which nothing more needs to be said.
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

// Covered tells whether nothing more needs to be said about a field.
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

// Spotless tells whether no field has a problem. Then nobody needs to make a path to ask for one.
func (r *Report) Spotless() bool { return len(r.at) == 0 }

// Sound tells whether the fields are free of problems, with all that is above and beneath them.
func (r *Report) Sound(paths ...string) bool {
	return !slices.ContainsFunc(paths, func(path string) bool { return r.Covered(path) || r.beneath[path] })
}
