package yamlfile

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// This file finds mistakes in copied texts: characters that are invisible or look like others, and unfilled variables
// of a template.

// template matches variables of Jinja and Helm, of shells, %%name%%, @name@, and placeholders in angle brackets.
var template = regexp.MustCompile(`\{\{[^{}]*\}\}|\$\{[^{}]*\}|\$[A-Za-z_][A-Za-z0-9_]*|%%?[A-Za-z_][A-Za-z0-9_]*%%?|@[A-Za-z_][A-Za-z0-9_]*@|<[A-Za-z][^<>]*>`)

// oddCharacters are characters that are invisible or easily mistaken for others.
var oddCharacters = map[rune]string{
	'\t':     "a tab",
	'\n':     "a line break",
	'\r':     "a line break",
	'\u00a0': "a no-break space",
	'\u00ad': "a soft hyphen",
	'\u2010': "a hyphen that is no minus",
	'\u2011': "a no-break hyphen",
	'\u2013': "a dash",
	'\u2012': "a dash",
	'\u2015': "a dash",
	'\u2014': "a dash",
	'\u2018': "a typographic quotation mark",
	'\u2019': "a typographic quotation mark",
	'\u201c': "a typographic quotation mark",
	'\u201d': "a typographic quotation mark",
	'\u201e': "a typographic quotation mark",
	'\u200b': "a zero width space",
	'\u200c': "a zero width character",
	'\u200d': "a zero width character",
	'\u2028': "a line separator",
	'\u202f': "a narrow no-break space",
	'\u2060': "a zero width character",
	'\u3000': "an ideographic space",
	'\ufeff': "a byte order mark",
	'\uff1a': "a full width colon",
}

// Oddity says what is odd about a text that does not fit, as ": …", or "".
func Oddity(text string) string {
	if found := template.FindString(text); found != "" {
		return ": " + Printable(found) + " is an unfilled variable of a template"
	}
	for _, r := range text {
		if name := OddName(r); name != "" {
			return ": it holds " + name
		}
	}
	switch {
	case text != strings.TrimSpace(text):
		return ": it has a space at its beginning or end"
	case strings.HasSuffix(text, ";") || strings.HasSuffix(text, ","):
		return ": the " + text[len(text)-1:] + " does not belong to it"
	case strings.Contains(text, " //"):
		return ": a comment begins with #"
	case strings.Contains(text, "#"):
		return ": a comment begins with a space and #"
	}
	return ""
}

// OddName returns the name of an odd character, or "" for all other characters.
func OddName(r rune) string {
	name := oddCharacters[r]
	switch {
	case name != "":
	case r >= 0x2000 && r <= 0x200a:
		name = "a space of another width"
	case r >= 0xff01 && r <= 0xff5e:
		name = "a full width character"
	case unicode.IsPrint(r):
		return ""
	default:
		name = "a character that cannot be seen"
	}
	if strings.ContainsRune("\t\n\r", r) {
		return name
	}
	return fmt.Sprintf("%s (U+%04X)", name, r)
}
