package yamlfile

import "testing"

func TestOddity(t *testing.T) {
	for text, want := range map[string]string{
		"a": "", "a.b": "", "50%": "", "a%20b": "", "é": "",
		"{{ a }}": ": {{ a }} is an unfilled variable of a template", "x${A}": ": ${A} is an unfilled variable of a template",
		"$A": ": $A is an unfilled variable of a template", "%%a%%": ": %%a%% is an unfilled variable of a template",
		"<your-vip>": ": <your-vip> is an unfilled variable of a template", "{{ a\x1b }}": ": \"{{ a\\x1b }}\" is an unfilled variable of a template",
		"a;": ": the ; does not belong to it", "a,": ": the , does not belong to it", "a ": ": it has a space at its beginning or end",
		"1#a": ": a comment begins with a space and #", "1 // a": ": a comment begins with #", "@A@": ": @A@ is an unfilled variable of a template",
		"\uff11": ": it holds a full width character (U+FF11)",
		"a\tb":   ": it holds a tab", "a\u00a0": ": it holds a no-break space (U+00A0)", "\u201ca": ": it holds a typographic quotation mark (U+201C)",
		"a\u2009b": ": it holds a space of another width (U+2009)", "a\x01": ": it holds a character that cannot be seen (U+0001)",
	} {
		if got := Oddity(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
