package yamlfile

import (
	"fmt"
	"slices"
	"strings"
)

// MaxProblems is how many problems of a file are reported. The others are only counted.
const MaxProblems = 100

// Problem is one error or warning about a spec file, with its place.
type Problem struct {
	// File is the name that was passed to Parse.
	File string
	// Line and Column count from 1; a column is a character.
	Line, Column int
	// Path of the field, as in services[0].servers[1].address. Empty for the file as a whole.
	Path string
	// Message is a short sentence without a full stop.
	Message string
	// Warning is true if the problem is legal but unwise, false if it is an error.
	Warning bool

	line string // the line of the file
}

// ProblemAt returns a problem at a place in the text of a file.
func ProblemAt(file string, text Text, where Place, path, message string) Problem {
	return Problem{File: file, Line: where.line, Column: where.column, Path: path, Message: message, line: excerptable(text.line(where.line))}
}

// String returns the line that users see: "FILE:LINE:COL: PATH: MESSAGE", without the path if there is none. A warning
// has "warning: " before its path.
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

// Error returns the same line as String, so that a single problem is an error.
func (p Problem) Error() string { return p.String() }

// Problems are the problems of a spec file, in the order of the file: at most MaxProblems, and then one that says how
// many more there are.
type Problems []Problem

// Error returns one line per problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// InOrder returns the problems in the order of the file. Problems at one place keep their order.
func (ps Problems) InOrder() Problems { return slices.SortedStableFunc(slices.Values(ps), inOrder) }

func inOrder(a, b Problem) int { return a.place().compare(b.place()) }

// With returns the problems, and those of more that are at other places, in the order of the file.
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
