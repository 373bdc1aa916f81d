package yamlfile

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Quote quotes a value for a message: on one line, at most 100 characters of it.
func Quote(value string) string { return strconv.Quote(shorten(value)) }

// Printable is Quote without the quotes if the value needs none.
func Printable(value string) string {
	quoted := Quote(value)
	if short := shorten(value); short != "" && quoted == `"`+short+`"` {
		return short
	}
	return quoted
}

func shorten(value string) string {
	const longest = 100
	if utf8.RuneCountInString(value) <= longest {
		return value
	}
	return string([]rune(value)[:longest]) + "…"
}

// Either lists values as "a, b or c".
func Either(values []string) string {
	last := len(values) - 1
	if last == 0 {
		return values[0]
	}
	return strings.Join(values[:last], ", ") + " or " + values[last]
}

// thousands writes a number with commas: 124,900.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
