package host

import "testing"

// Clean removes what controls a terminal, including the eight-bit control characters, and keeps everything else.
func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"two\nlines, a\ttab, größer, 日本語 → é": "two\nlines, a\ttab, größer, 日本語 → é",
		"\x1b[2J\x1b]0;title\x07gone":         "[2J]0;titlegone",
		"\rover\b\x7f":                        "over",
		"\u009b31mred":                        "31mred",
		"\x9b31m":                             "\ufffd31m",
		"\u202egnp.exe\u2066":                 "gnp.exe",
	} {
		if got := Clean(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}
