package host

import (
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
