// Package terminal writes to a user's terminal.
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

// fileOf returns the file behind a stream.
func fileOf(stream any) (*os.File, bool) {
	if w, ok := stream.(io.Writer); ok {
		stream = Raw(w)
	}
	file, ok := stream.(*os.File)
	return file, ok
}

// Raw returns the stream behind wrapping writers. Control sequences are written to it.
func Raw(w io.Writer) io.Writer {
	for {
		wrapper, ok := w.(interface{ Unwrap() io.Writer })
		if !ok {
			return w
		}
		w = wrapper.Unwrap()
	}
}

// Safe returns a writer for texts. If w is a terminal it removes control sequences: the texts may come from other
// programs and machines.
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

// colors are the color sequences of a status, and the reset (ECMA-48, SGR).
var colors = []string{"31m", "32m", "0m"}

// clean removes the control sequences of a text, except colors.
func clean(text string) string {
	var b strings.Builder
	for i, part := range strings.Split(text, "\x1b[") {
		for _, color := range colors {
			if rest, found := strings.CutPrefix(part, color); found && i > 0 {
				b.WriteString("\x1b[" + color)
				part = rest
				break // the text may begin like another color: 32m10s
			}
		}
		b.WriteString(host.Clean(part))
	}
	return b.String()
}

// Is reports whether a reader or a writer is a terminal.
func Is(stream any) bool {
	file, ok := fileOf(stream)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// Ask asks the user at the terminal; only y and yes mean yes.
func Ask(in io.Reader, out io.Writer, question string) bool {
	fmt.Fprintf(out, "%s [y/N] ", question)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil { // no newline was entered
		fmt.Fprintln(out)
	}
	return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(line)))
}

// Size returns the size of the terminal w in characters; 0 if w is not a terminal.
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

// Colors reports whether to write colors to w: w is a terminal, TERM is not "dumb", and NO_COLOR is not set
// (no-color.org).
func Colors(w io.Writer) bool {
	return Is(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// Control sequences, to be written to Raw: erase the line, switch to a second screen without a cursor that cuts long lines,
// and back. If it wrapped them, a frame could be higher than the screen, which would scroll its first lines away.
const (
	EraseLine   = "\r\x1b[K"
	EnterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	LeaveScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l"
)

// Frame returns a text that overwrites the former one without clearing it first, to avoid flicker. The last line counts
// the lines that do not fit. Write it to Raw.
func Frame(text string, height int) string {
	lines := strings.Split(strings.TrimSuffix(clean(text), "\n"), "\n")
	if more := len(lines) - height; height > 0 && more > 0 {
		lines = append(lines[:height-1], fmt.Sprintf("… %d lines more", more+1))
	}
	return "\x1b[H" + strings.Join(lines, "\x1b[K\r\n") + "\x1b[K\x1b[J"
}
