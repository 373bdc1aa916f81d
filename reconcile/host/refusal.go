package host

import (
	"context"
	"fmt"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/api/yamlfile"
	"rlb.dev/rlb-agent/render"
)

// Refusal is the error of a real program that rejects a rendered file.
type Refusal struct {
	Program string    // "haproxy" or "keepalived"
	Lines   []Verdict // its messages, in its order
}

// Verdict is one message of a program about a rendered file.
type Verdict struct {
	Path   string // path on the host of the file that the message is about, or ""
	Line   int    // line in that file, or 0
	Origin string // field of the spec that the line was rendered from, or ""
	Text   string // the program's own words

	problem yamlfile.Problem // the message at its place in the spec, once known
}

// words returns the program's message with the file and line.
func (v Verdict) words() string {
	if v.Path == "" {
		return v.Text
	}
	return fmt.Sprintf("%s:%d: %s", v.Path, v.Line, v.Text)
}

// field returns the field of the spec. The place in the spec tells which of several raw lines (extra) it is.
func (v Verdict) field() string {
	if list := strings.LastIndexByte(v.Origin, '['); strings.HasSuffix(v.Origin, "]") && strings.Contains(v.Origin[:list], "extra") {
		return v.Origin[:list]
	}
	return v.Origin
}

// Warning returns a warning of a program that accepts the file, about one of the user's raw lines, at its place in the
// spec.
func (v Verdict) Warning(program string, doc *api.Document) yamlfile.Problem {
	p := doc.Problem(v.Origin, "%s warns: %s", program, v.words())
	p.Path, p.Warning = v.field(), true
	return p
}

// Place sets the place in the spec of each verdict that stems from a field of the spec.
func (r *Refusal) Place(doc *api.Document) {
	for i := range r.Lines {
		if v := &r.Lines[i]; v.Origin != "" {
			v.problem = doc.Problem(v.Origin, "%s", v.words())
			v.problem.Path = v.field()
		}
	}
}

// Problems returns the verdicts that have a place in the spec.
func (r *Refusal) Problems() (all yamlfile.Problems) {
	for _, v := range r.Lines {
		if v.problem.File != "" {
			all = append(all, v.problem)
		}
	}
	return all
}

// Error lists all messages of the program, one a line. A message with a place in the spec has the form of the spec's
// problems.
func (r *Refusal) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s refuses its configuration:", r.Program)
	for _, v := range r.Lines {
		switch {
		case v.problem.File != "":
			b.WriteString("\n" + v.problem.String())
		case v.Origin != "":
			b.WriteString("\n  " + v.field() + ": " + v.words())
		default:
			b.WriteString("\n  " + v.words())
		}
	}
	return b.String()
}

// Refusals returns all *Refusal in the tree of an error.
func Refusals(err error) (all []*Refusal) {
	switch e := err.(type) {
	case nil:
	case *Refusal:
		all = append(all, e)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			all = append(all, Refusals(inner)...)
		}
	case interface{ Unwrap() error }:
		all = Refusals(e.Unwrap())
	}
	return all
}

// Checker asks the real programs whether they accept rendered files.
type Checker interface {
	// Check asks the real programs, if installed, to check rendered files that are not installed yet. The error is a
	// *Refusal, or two of them joined. unchecked names the programs that are not installed. Check only writes to a
	// temporary directory.
	Check(ctx context.Context, files []render.File) (unchecked []string, err error)
}
