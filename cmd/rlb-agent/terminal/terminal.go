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

	"rlb.dev/rlb-agent/reconcile/host"
)

// fileOf is the file behind a stream.
func fileOf(stream any) (*os.File, bool) {
	if w, ok := stream.(io.Writer); ok {
		stream = Raw(w)
	}
	file, ok := stream.(*os.File)
	return file, ok
}

// Raw is what is behind a writer that passes on what it is given. What draws on the terminal is written there.
func Raw(w io.Writer) io.Writer {
	for {
		wrapper, ok := w.(interface{ Unwrap() io.Writer })
		if !ok {
			return w
		}
		w = wrapper.Unwrap()
	}
}

// Safe is a writer for texts. Where w is a terminal they do not steer it: they may be those of other programs and machines.
func Safe(w io.Writer) io.Writer {
	if !Is(w) {
		return w
	}
	return safe{w}
}

type safe struct{ to io.Writer }

func (s safe) Write(text []byte) (int, error) {
	if _, err := io.WriteString(s.to, clean(string(text))); err != nil {
		return 0, err
	}
	return len(text), nil
}

func (s safe) Unwrap() io.Writer { return s.to }

// colors are those of a status, and their end (ECMA-48, SGR).
var colors = []string{"31m", "32m", "0m"}

// clean is a text without what steers a terminal, but for colors.
func clean(text string) string {
	var b strings.Builder
	for i, part := range strings.Split(text, "\x1b[") {
		for _, color := range colors {
			if rest, found := strings.CutPrefix(part, color); found && i > 0 {
				b.WriteString("\x1b[" + color)
				part = rest
			}
		}
		b.WriteString(host.Clean(part))
	}
	return b.String()
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

// The terminal's own words, which Raw takes: a second screen without a cursor, and back, and a line begun anew.
const (
	EraseLine   = "\r\x1b[K"
	EnterScreen = "\x1b[?1049h\x1b[?25l"
	LeaveScreen = "\x1b[?25h\x1b[?1049l"
)

// Frame is a text drawn over the former one, in one piece and without clearing first, so that nothing flickers. What does
// not fit on the screen is counted in its last line. Raw takes it.
func Frame(text string, height int) string {
	lines := strings.Split(strings.TrimSuffix(clean(text), "\n"), "\n")
	if more := len(lines) - height; height > 0 && more > 0 {
		lines = append(lines[:height-1], fmt.Sprintf("… %d lines more", more+1))
	}
	return "\x1b[H" + strings.Join(lines, "\x1b[K\r\n") + "\x1b[K\x1b[J"
}
