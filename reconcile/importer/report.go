package importer

import (
	"fmt"
	"strconv"
	"strings"
)

// maxNotes bounds a report.
const maxNotes = 1000

// report is what the spec does not carry over, or not as it was, a line each.
type report struct {
	lines []string
	more  int // lines beyond maxNotes
}

// note adds a line on a statement: "file:line: directive: message".
func (r *report) note(file string, line int, directive, format string, args ...any) {
	if len(r.lines) >= maxNotes {
		r.more++
		return
	}
	r.lines = append(r.lines, fmt.Sprintf("%s:%d: %s: %s", printable(file), line, printable(directive), fmt.Sprintf(format, args...)))
}

// lost adds a line on a statement that is not carried over.
func (r *report) lost(file string, line int, directive, format string, args ...any) {
	r.note(file, line, directive, "not carried over, because %s", fmt.Sprintf(format, args...))
}

// all are the lines of the report.
func (r *report) all() []string {
	if r.more == 0 {
		return r.lines
	}
	return append(r.lines, fmt.Sprintf("and %d more lines", r.more))
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
