package status

import (
	"strings"
	"unicode/utf8"
)

// Text lays out rows in columns. A text that does not fit into width characters continues below its own column; 0 means
// no limit.
func Text(rows []Row, width int) string {
	return laidOut(rows, width, func(text string, _ Mood) string { return text })
}

// Paragraph puts a text in lines of at most width characters; 0 means no limit.
func Paragraph(text string, width int) string { return wrapped("", text, width) }

// Colored is Text for a terminal: bad rows are red.
func Colored(rows []Row, width int) string { return laidOut(rows, width, Color) }

// Color colors each line of a text by its mood, for a terminal (ECMA-48, SGR).
func Color(text string, mood Mood) string {
	code := map[Mood]string{Good: "32", Bad: "31"}[mood]
	if code == "" {
		return text
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		line, end := strings.CutSuffix(line, "\n")
		b.WriteString("\x1b[" + code + "m" + line + "\x1b[0m")
		if end {
			b.WriteString("\n")
		}
	}
	return b.String()
}

func laidOut(rows []Row, width int, color func(string, Mood) string) string {
	label := 0
	var columns []int
	for _, r := range rows {
		label = max(label, utf8.RuneCountInString(r.Label)+2)
	}
	var b strings.Builder
	for i, r := range rows {
		if i == 0 || len(rows[i-1].Cells) != len(r.Cells) {
			columns = columnsOf(rows[i:])
		}
		line := padded(r.Label, label)
		for at, cell := range r.Cells {
			line += padded(cell, columns[at])
		}
		mood := r.Mood
		if mood == Good { // the usual case gets no color
			mood = Plain
		}
		b.WriteString(color(wrapped(line, r.Text, width), mood))
	}
	return b.String()
}

// columnsOf are the widths of the cells of the first row and of the rows directly below it that have as many cells.
func columnsOf(rows []Row) []int {
	widths := make([]int, len(rows[0].Cells))
	for _, r := range rows {
		if len(r.Cells) != len(widths) {
			break
		}
		for at, cell := range r.Cells {
			widths[at] = max(widths[at], utf8.RuneCountInString(cell)+2)
		}
	}
	return widths
}

func padded(text string, width int) string {
	return text + strings.Repeat(" ", max(width-utf8.RuneCountInString(text), 0))
}

// narrowest is the number of characters below which a column of text is no longer wrapped.
const narrowest = 20

// wrapped puts text behind begin, in as many lines as it needs.
func wrapped(begin, text string, width int) string {
	indent := utf8.RuneCountInString(begin)
	if width-indent < narrowest {
		return strings.TrimRight(begin+text, " ") + "\n"
	}
	var b strings.Builder
	line, used := begin, indent
	for _, word := range strings.Fields(text) {
		long := utf8.RuneCountInString(word)
		if used > indent && used+1+long > width {
			b.WriteString(line + "\n")
			line, used = strings.Repeat(" ", indent), indent
		}
		if used > indent {
			line, used = line+" ", used+1
		}
		line, used = line+word, used+long
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
	return b.String()
}
