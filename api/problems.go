package api

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MaxProblems is how many problems of a file are reported; those beyond are counted.
const MaxProblems = 100

// Problem is one thing that is wrong in a spec file, or unwise, at its place.
type Problem struct {
	// File is the name that Parse was given.
	File string
	// Line and Column count from 1; a column is a character.
	Line, Column int
	// Path of the field, as in services[0].servers[1].address. Empty for the file as a whole.
	Path string
	// Message is a short sentence without a full stop.
	Message string
	// Warning tells what is legal but unwise from what is wrong.
	Warning bool

	line string // of the file
}

// String is the line that users see: "FILE:LINE:COL: PATH: MESSAGE", without the path where there is none. Before the
// path of a warning stands "warning: ".
func (p Problem) String() string {
	where := fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Warning {
		where += "warning: "
	}
	if p.Path != "" {
		where += p.Path + ": "
	}
	return where + p.Message
}

// Error makes a single problem an error.
func (p Problem) Error() string { return p.String() }

// Problems are what is wrong in a spec file, in the order of the file: at most MaxProblems, and one more at the next
// place that says how many there are beyond.
type Problems []Problem

// Error has one line per problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// With are the problems and those of more at other places, in the order of the file.
func (ps Problems) With(more Problems) Problems {
	all := slices.Clone(ps)
	for _, p := range more {
		if !slices.ContainsFunc(ps, func(known Problem) bool { return known.Line == p.Line && known.Column == p.Column }) {
			all = append(all, p)
		}
	}
	return slices.SortedStableFunc(slices.Values(all), func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// report collects problems and keeps follow-ups away: what is said about a field is said once. Its size is bounded,
// however much is wrong.
type report struct {
	file     string
	total    int
	problems Problems        // the earliest in the file
	horizon  place           // problems from here on are too late to be reported; zero for none
	at       map[string]bool // fields that have a problem
	beneath  map[string]bool // fields that have a problem somewhere beneath them
	said     map[saying]bool // against what an alias would have counted twice
}

// saying is what makes two problems one.
type saying struct {
	place
	message string
}

// maxCovered bounds at, beneath and said. A file with more problems is not looked into further.
const maxCovered = 10_000

func newReport(file string) *report {
	return &report{file: file, at: map[string]bool{}, beneath: map[string]bool{}, said: map[saying]bool{}}
}

// full tells whether there are so many problems that follow-ups cannot be told from the rest any more.
func (r *report) full() bool { return r.total > maxCovered }

// add reports a problem of a field, unless the field or one of its parents already has one.
func (r *report) add(where place, path, format string, args ...any) {
	if !r.covered(path) {
		r.addAlways(where, path, format, args...)
		r.cover(path)
	}
}

// addMissing is add for a field that is not there: it is reported at its parent.
func (r *report) addMissing(where place, parentPath, field string) {
	if path := join(parentPath, field); !r.covered(path) {
		r.addAlways(where, parentPath, "required field %q is missing", field)
		r.cover(path)
	}
}

// addAlways reports a problem that hides no other.
func (r *report) addAlways(where place, path, format string, args ...any) {
	if r.full() && !r.reports(where) {
		r.total++
		return
	}
	message := format
	if len(args) > 0 {
		message = fmt.Sprintf(format, args...)
	}
	if this := (saying{where, message}); r.said[this] {
		return
	} else if !r.full() {
		r.said[this] = true
	}
	r.total++
	if !r.reports(where) {
		return
	}
	r.problems = append(r.problems, Problem{File: r.file, Line: where.line, Column: where.column, Path: path, Message: message})
	if len(r.problems) >= 10*MaxProblems {
		r.trim()
	}
}

// reports tells whether a problem at that place is among the first.
func (r *report) reports(where place) bool {
	return r.horizon == place{} || where.compare(r.horizon) < 0
}

// trim sorts the problems, keeps those that may be reported, and one more. What stands at one place and says the same
// (by way of an alias) is one problem.
func (r *report) trim() {
	slices.SortStableFunc(r.problems, func(a, b Problem) int { return a.place().compare(b.place()) })
	before := len(r.problems)
	r.problems = slices.CompactFunc(r.problems, func(a, b Problem) bool { return a.place() == b.place() && a.Message == b.Message })
	r.total -= before - len(r.problems)
	if len(r.problems) > MaxProblems {
		r.problems = slices.Clip(r.problems[:MaxProblems+1])
		r.horizon = r.problems[MaxProblems].place()
	}
}

func (p Problem) place() place { return place{p.Line, p.Column} }

// sorted is what was found, in the order of the file.
func (r *report) sorted(line func(number int) []byte) Problems {
	r.trim()
	for i := range r.problems {
		r.problems[i].line = excerptable(line(r.problems[i].Line))
	}
	if len(r.problems) > MaxProblems {
		last := &r.problems[MaxProblems]
		last.Path, last.Message = "", "and "+thousands(r.total-MaxProblems)+" more"
	}
	return r.problems
}

// thousands writes a number with commas: 124,900.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// cover marks a field as one about which nothing more needs to be said.
func (r *report) cover(path string) {
	if r.full() {
		return
	}
	r.at[path] = true
	for path != "" {
		path = parent(path)
		r.beneath[path] = true
	}
}

func (r *report) covered(path string) bool {
	if len(r.at) == 0 {
		return false
	}
	for !r.at[path] {
		if path == "" {
			return false
		}
		path = parent(path)
	}
	return true
}

// spotless tells whether no field has a problem. Then nobody needs to make a path to ask for one.
func (r *report) spotless() bool { return len(r.at) == 0 }

// sound tells whether the fields are free of problems, with all that is above and beneath them.
func (r *report) sound(paths ...string) bool {
	return !slices.ContainsFunc(paths, func(path string) bool { return r.covered(path) || r.beneath[path] })
}

// join is the path of a field of path.
func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

// index is the path of an entry of a list.
func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// parent is the path without its last step.
func parent(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

// compare orders places as the file has them.
func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.line, q.line), cmp.Compare(p.column, q.column))
}
