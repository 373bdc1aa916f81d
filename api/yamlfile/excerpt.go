package yamlfile

import (
	"strconv"
	"strings"
	"unicode"
)

// Excerpt returns the problem's line of the file with a caret beneath its column, for a terminal: two lines, or "" if
// the line is empty. Control characters and invisible characters are replaced.
func (p Problem) Excerpt() string {
	const width, lead = 100, 40
	if strings.TrimSpace(p.line) == "" {
		return ""
	}
	line, column := []rune(p.line), p.Column-1
	column = min(max(column, 0), len(line))
	cut := ""
	if column > width-lead {
		line, column, cut = line[column-lead:], lead, "…"
	}
	end := ""
	if len(line) > width {
		line, end = line[:width], "…"
	}
	number := strconv.Itoa(p.Line)
	margin := strings.Repeat(" ", len(number)) + " | " + strings.Repeat(" ", len([]rune(cut)))
	return number + " | " + cut + strings.Map(visible, string(line)) + end + "\n" + margin + strings.Repeat(" ", column) + "^"
}

// visible replaces a character that a terminal would not print, so that each takes at least one column.
func visible(r rune) rune {
	switch {
	case r == '\t':
		return ' '
	case !unicode.IsPrint(r):
		return '\u00b7'
	}
	return r
}

// Excerpts returns each problem with its line of the file beneath it.
func (ps Problems) Excerpts() string {
	var all []string
	for _, p := range ps {
		all = append(all, p.String())
		if excerpt := p.Excerpt(); excerpt != "" {
			all = append(all, excerpt)
		}
	}
	return strings.Join(all, "\n")
}

// excerptable returns a line of the file, or "" if it is too long to be shown.
func excerptable(line []byte) string {
	const longest = 4096
	if len(line) > longest {
		return ""
	}
	return string(line)
}
