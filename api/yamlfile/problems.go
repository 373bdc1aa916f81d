package yamlfile

import (
	"fmt"
	"slices"
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

// ProblemAt is a problem at a place of the text of a file.
func ProblemAt(file string, text Text, where Place, path, message string) Problem {
	return Problem{File: file, Line: where.line, Column: where.column, Path: path, Message: message, line: excerptable(text.line(where.line))}
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

// InOrder are the problems in the order of the file, with those of one place as they were.
func (ps Problems) InOrder() Problems { return slices.SortedStableFunc(slices.Values(ps), inOrder) }

func inOrder(a, b Problem) int { return a.place().compare(b.place()) }

// With are the problems and those of more at other places, in the order of the file.
func (ps Problems) With(more Problems) Problems {
	all := slices.Clone(ps)
	for _, p := range more {
		if !slices.ContainsFunc(ps, func(known Problem) bool { return known.place() == p.place() }) {
			all = append(all, p)
		}
	}
	return all.InOrder()
}

func (p Problem) place() Place { return Place{p.Line, p.Column} }
