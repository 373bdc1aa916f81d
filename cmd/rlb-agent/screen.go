package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// fileOf is the file behind a writer.
func fileOf(w io.Writer) (*os.File, bool) {
	if o, checked := w.(*output); checked {
		w = o.to
	}
	file, ok := w.(*os.File)
	return file, ok
}

// screen is the size of the terminal that w is, in characters; 0 where it is none.
func screen(w io.Writer) (width, height int) {
	file, ok := fileOf(w)
	if !ok {
		return 0, 0
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(size.Col), int(size.Row)
}

// colors says whether w takes colors: it is a terminal that does, and nobody asked for none (no-color.org).
func colors(w io.Writer) bool {
	file, ok := fileOf(w)
	return ok && isTerminal(file) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
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
