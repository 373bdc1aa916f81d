package importer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxNotes bounds a report.
const maxNotes = 1000

// report is what the spec does not carry over, or not as it was, a line each.
type report struct {
	notes []note
	more  int // beyond maxNotes
}

type note struct {
	file int // files are told of in the order in which they are read
	line int
	text string
}

// note adds a line on a statement: "file:line: directive: message".
func (m *mapping) note(line int, directive, format string, args ...any) {
	if len(m.notes) >= maxNotes {
		m.more++
		return
	}
	text := fmt.Sprintf("%s:%d: %s: %s", printable(m.files[m.file].Name), line, printable(directive), fmt.Sprintf(format, args...))
	if n := (note{m.file, line, text}); !slices.Contains(m.notes[max(0, len(m.notes)-100):], n) { // two services may share a backend
		m.notes = append(m.notes, n)
	}
}

// lost adds a line on a statement that is not carried over.
func (m *mapping) lost(line int, directive, format string, args ...any) {
	m.note(line, directive, "not carried over, because "+format, args...)
}

// all are the lines of the report in the order of the files.
func (r *report) all() (lines []string) {
	slices.SortStableFunc(r.notes, func(a, b note) int {
		if a.file != b.file {
			return a.file - b.file
		}
		return a.line - b.line
	})
	for _, n := range r.notes {
		lines = append(lines, n.text)
	}
	if r.more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more lines", r.more))
	}
	return lines
}

// printable is a text of a file for a report: on one line, not long, and without what a terminal would act on.
func printable(text string) string {
	const longest = 60
	if runes := []rune(text); len(runes) > longest {
		text = string(runes[:longest]) + "…"
	}
	quoted := strconv.Quote(text)
	if strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`) == text {
		return text
	}
	return quoted
}
