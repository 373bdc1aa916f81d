package importer

import (
	"strconv"
	"strings"

	"rlb.dev/rlb-agent/api"
)

// statement is one line of haproxy.cfg.
type statement struct {
	line  int      // from 1
	text  string   // the whole line, without the line end
	words []string // with quotes and escapes resolved; none in a comment
	ends  []int    // where each word ends in text
}

// word returns a word of the statement, or "".
func (s statement) word(i int) string { return wordAt(s.words, i) }

// is says whether the statement begins with these words. Inlined at its many calls it would add 50 KB to the program.
//
//go:noinline
func (s statement) is(words ...string) bool {
	for i, word := range words {
		if s.word(i) != word {
			return false
		}
	}
	return true
}

// rest returns the text after the first n words, without the space that separates them.
func (s statement) rest(n int) string {
	if n == 0 || n > len(s.ends) || s.ends[n-1] >= len(s.text) {
		return ""
	}
	return s.text[s.ends[n-1]+1:]
}

// plain returns the statement as in the file, without a comment and with single spaces between the words.
func (s statement) plain() string {
	var words []string
	begin := 0
	for _, end := range s.ends {
		words = append(words, strings.TrimSpace(s.text[begin:end]))
		begin = end
	}
	return strings.Join(words, " ")
}

// section is a section of haproxy.cfg (HAProxy configuration manual §2).
type section struct {
	statement            // the line that opens the section
	keyword, name string // "frontend" and its name; the name may be ""
	from          string // the defaults section that the line names after "from", or ""
	body          []statement
}

// sections reads haproxy.cfg. In a file that the agent rendered (own), sections keeps comments and blank raw lines, and an
// indented keyword opens no section, because it belongs to the raw lines of the section before.
func sections(data string, own bool) (all []section) {
	number := 0
	for text := range strings.Lines(data) {
		number++
		text = strings.TrimRight(text, "\r\n")
		words, ends := haproxyWords(text)
		s := statement{number, text, words, ends}
		indented := strings.HasPrefix(text, " ") || strings.HasPrefix(text, "\t")
		switch {
		case len(words) > 0 && api.IsSection(words[0]) && !(own && indented):
			next := section{statement: s, keyword: words[0], name: s.word(1)}
			for i := 1; i+1 < len(words); i++ {
				if words[i] == "from" {
					next.from = words[i+1]
				}
			}
			if next.name == "from" {
				next.name = ""
			}
			all = append(all, next)
		case len(all) == 0: // comments at the top, or lines that HAProxy refuses
		case len(words) > 0 || own && indented:
			all[len(all)-1].body = append(all[len(all)-1].body, s)
		}
	}
	return all
}

// haproxyWords splits a line into words (HAProxy configuration manual §2.2, quoting and escaping). It does not replace
// variables, because their values are not in the file.
func haproxyWords(text string) (words []string, ends []int) {
	var word strings.Builder
	begun := false
	var quote byte
	end := func(at int) {
		if begun {
			words, ends = append(words, word.String()), append(ends, at)
		}
		word.Reset()
		begun = false
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(text):
			i++
			skip, b := unescape(text[i:])
			i += skip
			word.WriteByte(b)
			begun = true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case c == '"' || c == '\'':
			quote, begun = c, true
		case c == '#':
			end(i)
			return words, ends
		case c == ' ' || c == '\t':
			end(i)
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	end(len(text))
	return words, ends
}

// unescape returns the byte for a text after a backslash, and how many more bytes of the text belong to the escape.
func unescape(text string) (skip int, b byte) {
	switch text[0] {
	case 'n':
		return 0, '\n'
	case 'r':
		return 0, '\r'
	case 't':
		return 0, '\t'
	case 'x':
		if n, err := strconv.ParseUint(text[1:min(3, len(text))], 16, 8); err == nil && len(text) > 2 {
			return 2, byte(n)
		}
	}
	return 0, text[0]
}
