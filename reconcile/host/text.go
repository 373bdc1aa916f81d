package host

import (
	"strings"
	"unicode"
)

// Clean is a text of another program or machine as it may stand in a log and on a terminal: without control characters,
// which steer a terminal, and without those that change the direction of writing. Line breaks and tabs stay.
func Clean(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, text)
}
