package host

import (
	"context"
	"fmt"
	"strings"

	"rlb.dev/rlb-agent/render"
)

// Refusal is the word of a real program that does not take a rendered file.
type Refusal struct {
	Program string    // "haproxy" or "keepalived"
	Lines   []Verdict // what it said, in its order
}

// Verdict is one thing that a program said of a rendered file.
type Verdict struct {
	Path   string // path on the host of the file that it speaks of, or ""
	Line   int    // line in that file, or 0
	Origin string // field of the spec that the line stems from, or ""
	Text   string // the program's own words
}

// Error is all that the program said, a line each.
func (r *Refusal) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s refuses its configuration:", r.Program)
	for _, v := range r.Lines {
		b.WriteString("\n  ")
		if v.Origin != "" {
			b.WriteString(v.Origin + ": ")
		}
		if v.Path != "" {
			fmt.Fprintf(&b, "%s:%d: ", v.Path, v.Line)
		}
		b.WriteString(v.Text)
	}
	return b.String()
}

// Checker asks the real programs.
type Checker interface {
	// Check asks the real programs, if installed, what they think of rendered files that are not installed yet. The
	// error is a *Refusal, or two of them joined; a program that is not installed is named in unchecked. Only a temporary directory is written.
	Check(ctx context.Context, files []render.File) (unchecked []string, err error)
}
