// Package terminal draws on the terminal of a person.
package terminal

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// fileOf is the file behind a writer, which may pass on to another one what it is given.
func fileOf(w any) (*os.File, bool) {
	if wrapper, ok := w.(interface{ Unwrap() io.Writer }); ok {
		w = wrapper.Unwrap()
	}
	file, ok := w.(*os.File)
	return file, ok
}

// Is says whether a reader or a writer is a terminal.
func Is(stream any) bool {
	file, ok := fileOf(stream)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// Ask asks a person at the terminal in; only yes is yes.
func Ask(in io.Reader, out io.Writer, question string) bool {
	fmt.Fprintf(out, "%s [y/N] ", question)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil { // the answer did not end the line
		fmt.Fprintln(out)
	}
	return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(line)))
}

// Size is the size of the terminal that w is, in characters; 0 where it is none.
func Size(w io.Writer) (width, height int) {
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

// Colors says whether w takes colors: it is a terminal that does, and nobody asked for none (no-color.org).
func Colors(w io.Writer) bool {
	return Is(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// The terminal's own words: a second screen without a cursor, and back.
const (
	EnterScreen = "\x1b[?1049h\x1b[?25l"
	LeaveScreen = "\x1b[?25h\x1b[?1049l"
)

// Frame is a text drawn over the former one, in one piece and without clearing first, so that nothing flickers. What
// does not fit on the screen is counted in its last line.
func Frame(text string, height int) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if more := len(lines) - height; height > 0 && more > 0 {
		lines = append(lines[:height-1], fmt.Sprintf("… %d lines more", more+1))
	}
	return "\x1b[H" + strings.Join(lines, "\x1b[K\r\n") + "\x1b[K\x1b[J"
}
