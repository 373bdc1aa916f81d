package yamlfile

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

var (
	lineOfError   = regexp.MustCompile(`^line (\d+): `)
	parserMessage = regexp.MustCompile(`^did not find expected (key|node content|'|<)`)
	displaced     = regexp.MustCompile(`^did not find expected (key|'-' indicator)$`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// syntaxProblem returns the place of an error of the YAML parser, and a message in the user's terms.
func syntaxProblem(data []byte, err error) (where Place, message string) {
	message = strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if m := lineOfError.FindStringSubmatch(message); m != nil {
		line, _ = strconv.Atoi(m[1])
		message = message[len(m[0]):]
	}
	if parserMessage.MatchString(message) {
		line++ // the parser, unlike the scanner, counts lines from 0, and does not print line 0
	}
	if displaced.MatchString(message) {
		line = firstLineWith(data, err, line)
	}
	if line > 0 {
		where, message = likelyCause(data, line, message)
	} else if m := unknownAnchor.FindStringSubmatch(message); m != nil {
		where = placeAt(data, bytes.Index(data, []byte("*"+m[1])))
	} else if i := unreadable(data); i >= 0 {
		where = placeAt(data, i)
		if strings.Contains(message, "UTF-8") {
			message += ": the file must be saved as UTF-8"
		}
	} else { // the parser names no line of an error in the first one
		where, message = likelyCause(data, 1, message)
	}
	return where, "not valid YAML: " + message
}

// maxSearched is the size of the largest file, in bytes, that is parsed several times to find the line of an error.
const maxSearched = 256 << 10

// firstLineWith returns the first line at which the parser fails with the same error. Of an error in a block it reports only
// the line where the block begins, which is the result otherwise.
func firstLineWith(data []byte, err error, line int) int {
	if len(data) > maxSearched {
		return line
	}
	lines := slices.Collect(bytes.Lines(data))
	return 1 + sort.Search(len(lines)-1, func(i int) bool {
		found := parseAll(bytes.Join(lines[:i+1], nil))
		return found != nil && found.Error() == err.Error()
	})
}

// parseAll returns the first error in the documents of a file; nil if there is none.
func parseAll(data []byte) error {
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var node yaml.Node
		if err := decoder.Decode(&node); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// lineCause is a possible cause of a syntax error in a line.
type lineCause struct {
	before, behind int            // how many lines before and after the line that the parser names it may be
	find           *regexp.Regexp // its first group is the place of the cause
	says           func(found string) string
}

const anywhere = 1 << 30

// lineCauses has the likeliest causes first.
var lineCauses = []lineCause{
	{anywhere, 1, regexp.MustCompile(`^[ \p{Zs}\x{200b}\x{feff}-]*?([\t\x{a0}\x{2000}-\x{200b}\x{202f}\x{3000}\x{feff}])`), func(found string) string {
		return "the indentation holds " + OddName([]rune(found)[0]) + ", YAML takes spaces only"
	}},
	{anywhere, 1, regexp.MustCompile(`^(<{7}|={7}|>{7})(?: |$)`), func(string) string {
		return "the line is a mark that git leaves where a merge failed"
	}},
	{anywhere, 0, regexp.MustCompile(`^ *(\{\{[^{}]*\}\}|\{%[^{}]*%\})`), func(found string) string {
		return Printable(found) + " belongs to a template, which must be rendered first"
	}},
	{anywhere, 0, regexp.MustCompile(`[\[:\- ,{](\{\{[^{}]*\}\}|\$\{[^{}]*\}|%%?[A-Za-z_][A-Za-z0-9_]*%%?|@[A-Za-z_][A-Za-z0-9_]*@)`), func(found string) string {
		return Printable(found) + " is an unfilled variable of a template"
	}},
	{1, 0, regexp.MustCompile(`([\t\x{a0}\x{2018}\x{2019}\x{201c}-\x{201e}\x{200b}\x{ff1a}])`), func(found string) string {
		return "the line holds " + OddName([]rune(found)[0])
	}},
	{1, 0, regexp.MustCompile(`^ *([\x{2010}-\x{2015}]) `), func(found string) string {
		return "the line begins with " + OddName([]rune(found)[0]) + `, YAML takes the hyphen "-"`
	}},
	{1, 0, regexp.MustCompile(`^(\+) `), func(found string) string {
		return "the line begins with " + found + ", as in a diff"
	}},
	{1, 0, regexp.MustCompile(`^ *-([A-Za-z]+: .*)$`), func(found string) string {
		return "a space is missing after the dash: - " + Printable(found)
	}},
	{1, 0, regexp.MustCompile(`^ *(?:- +)?([A-Za-z]+:[0-9A-Za-z"'\[{][^ ]*)$`), func(found string) string {
		name, value, _ := strings.Cut(found, ":")
		return "a space is missing after the colon: " + Printable(name+": "+value)
	}},
	{0, 0, regexp.MustCompile(`[:\- \[,]([*&](?:[^A-Za-z0-9_\- ,\]}:][^ ,\[\]{}]*)?)(?:[ ,\]}:]|$)`), func(found string) string {
		return `did not find expected alphabetic or numeric character after "` + found[:1] + `" (write "` + found + `" in quotes)`
	}},
	{0, 0, regexp.MustCompile(`(?:^|[ \[,])(::[0-9A-Fa-f:.]*(?:[/%][^ ,\[\]{}]*)?|[0-9A-Fa-f:]+::)(?:[,\]} ]|$)`), func(string) string {
		return "an IPv6 address that begins or ends with a colon needs quotes"
	}},
	{0, 0, regexp.MustCompile(`(?:^|[\[,]|[:-] ) *(:[^ :,\[\]{}][^ ,\[\]{}]*)(?:[,\]} ]|$)`), func(found string) string {
		return "a value that begins with a colon needs quotes, as in " + strconv.Quote(found)
	}},
	{0, 0, regexp.MustCompile(`[:\- \[,]([%@\x60])`), func(found string) string {
		return "a value that begins with " + found + " needs quotes"
	}},
}

// likelyCause looks for the cause of a syntax error in the line that the parser names, and in the lines around it.
func likelyCause(data []byte, line int, message string) (Place, string) {
	for _, cause := range lineCauses {
		number := 0
		for text := range bytes.Lines(data) {
			if number++; number > line+1 {
				break
			}
			text = bytes.TrimRight(text, "\r\n")
			if number < line-cause.before || number > line+cause.behind || isComment(text) {
				continue
			}
			if m := cause.find.FindSubmatchIndex(text); m != nil {
				return Place{number, utf8.RuneCount(text[:m[2]]) + 1}, cause.says(string(text[m[2]:m[3]]))
			}
		}
	}
	if where := openQuote(data, line); where.line > 0 {
		return where, "the quotation mark is not closed in its line"
	}
	text := NewText(data).line(line)
	where := Place{line, 1 + len(text) - len(bytes.TrimLeft(text, " "))}
	switch message {
	case "did not find expected key":
		message += notIndented
	case "mapping values are not allowed in this context":
		if m := secondColon.FindSubmatchIndex(text); m != nil {
			return Place{line, utf8.RuneCount(text[:m[2]]) + 1}, `a value that holds ": " needs quotes`
		}
		message += notIndented
	}
	return where, message
}

const notIndented = ": is the line indented as its neighbours are?"

var (
	opensQuote = regexp.MustCompile(`(?:: +|- +|[\[{,] *)("[^"]*|'[^']*)$`)
	newField   = regexp.MustCompile(`^ *(?:- |[A-Za-z]+:(?: |$))`)
)

// openQuote finds a value, in the line or before it, whose quotation mark is not closed before the next field. The
// place has no line for none.
func openQuote(data []byte, line int) (where Place) {
	number := 0
	for text := range bytes.Lines(data) {
		text = bytes.TrimRight(text, "\r\n")
		if number++; where.line > 0 && newField.Match(text) {
			return where
		}
		where = Place{}
		if m := opensQuote.FindSubmatchIndex(text); m != nil && !isComment(text) && number <= line {
			where = Place{number, utf8.RuneCount(text[:m[2]]) + 1}
		}
	}
	return where
}

var secondColon = regexp.MustCompile(`^[^"'#:]*: +[^"'#\[{ ][^"'#\[{]*?(:)(?: |$)`)

func isComment(line []byte) bool { return bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("#")) }

// unreadable returns the offset of the first character that YAML does not allow at all, or -1.
func unreadable(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if (r == utf8.RuneError && size == 1) || (r < ' ' && !strings.ContainsRune("\t\n\r", r)) || r == 0x7f {
			return i
		}
		i += size
	}
	return -1
}

func placeAt(data []byte, offset int) Place {
	before := data[:max(0, offset)]
	start := bytes.LastIndexByte(before, '\n') + 1
	return Place{bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[start:]) + 1}
}
