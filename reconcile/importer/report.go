package importer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxNotes is the limit for the lines of a report.
const maxNotes = 1000

// report lists what was not carried over, or was changed, one line each.
type report struct {
	notes []note
	more  int // notes beyond maxNotes
}

type note struct {
	file int // index in mapping.files; the report is sorted by it
	line int
	text string
}

// note adds a line about a statement: "file:line: directive: message".
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

// lost adds a line about a statement that is not carried over.
func (m *mapping) lost(line int, directive, format string, args ...any) {
	m.note(line, directive, "not carried over, because "+format, args...)
}

// all returns the lines of the report in the order of the files.
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

// printable makes a text from a file safe for a report: on one line, at most 60 characters long, and without control
// characters.
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
