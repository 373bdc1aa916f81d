package host

import (
	"fmt"
	"strings"
	"unicode"
)

// Clean makes a text of another program or machine safe for a log and a terminal. It removes control characters, which can
// control a terminal, and characters that change the writing direction. It keeps line breaks and tabs.
func Clean(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, text)
}

// Line is Clean on one line: whose text it is cannot add a line to what is printed, or a column. Lines are joined by "; ".
func Line(text string) string {
	lines := strings.FieldsFunc(Clean(text), func(r rune) bool { return r == '\n' })
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) { // tabs, and the line breaks of Unicode
			return ' '
		}
		return r
	}, strings.Join(lines, "; "))
}

// Join returns the texts of values with a separator between them.
func Join[T fmt.Stringer](values []T, separator string) string {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = value.String()
	}
	return strings.Join(texts, separator)
}
