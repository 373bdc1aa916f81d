package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"rlb.dev/rlb-agent/reconcile/status"
)

func statusText(w io.Writer, s status.Status) error {
	width, _ := screen(w)
	_, err := io.WriteString(w, textOf(statusRows(s, time.Now()), width))
	return err
}

// textOf lays rows out in columns. What is longer than a line of width characters goes on below its own column; 0 is
// no limit.
func textOf(rows []row, width int) string {
	label := 0
	var columns []int
	for _, r := range rows {
		label = max(label, utf8.RuneCountInString(r.label)+2)
	}
	var b strings.Builder
	for i, r := range rows {
		if i == 0 || len(rows[i-1].cells) != len(r.cells) {
			columns = columnsOf(rows[i:])
		}
		line := padded(r.label, label)
		for at, cell := range r.cells {
			line += padded(cell, columns[at])
		}
		b.WriteString(wrapped(line, r.text, width))
	}
	return b.String()
}

// columnsOf are the widths of the cells of the first row and of those below it that have as many.
func columnsOf(rows []row) []int {
	widths := make([]int, len(rows[0].cells))
	for _, r := range rows {
		if len(r.cells) != len(widths) {
			break
		}
		for at, cell := range r.cells {
			widths[at] = max(widths[at], utf8.RuneCountInString(cell)+2)
		}
	}
	return widths
}

func padded(text string, width int) string {
	return text + strings.Repeat(" ", max(width-utf8.RuneCountInString(text), 0))
}

// narrowest is how few characters a column of text may have before it is not wrapped any more.
const narrowest = 20

// wrapped is a text behind the beginning of its line, in as many lines as it needs.
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

// screen is the size of the terminal that w is, in characters; 0 where it is none.
func screen(w io.Writer) (width, height int) {
	file, ok := w.(*os.File)
	if !ok {
		return 0, 0
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(size.Col), int(size.Row)
}

// The terminal's own words: a second screen without a cursor, and back.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
)

// frame is a text drawn over the former one, in one piece and without clearing first, so that nothing flickers. What
// does not fit on the screen is counted in its last line.
func frame(text string, height int) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if more := len(lines) - height; height > 0 && more > 0 {
		lines = append(lines[:height-1], fmt.Sprintf("… %d lines more", more+1))
	}
	return "\x1b[H" + strings.Join(lines, "\x1b[K\r\n") + "\x1b[K\x1b[J"
}
