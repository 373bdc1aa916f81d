package host

import (
	"context"
	"fmt"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/api/yamlfile"
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
	Origin string // field of the spec that it stems from, or ""
	Text   string // the program's own words

	problem yamlfile.Problem // the same at its place in the spec, once known
}

// words are what the program said, and where it said it.
func (v Verdict) words() string {
	if v.Path == "" {
		return v.Text
	}
	return fmt.Sprintf("%s:%d: %s", v.Path, v.Line, v.Text)
}

// field is the field that it stems from. Which of several raw lines it is, its place says.
func (v Verdict) field() string {
	if list := strings.LastIndexByte(v.Origin, '['); strings.HasSuffix(v.Origin, "]") && strings.Contains(v.Origin[:list], "extra") {
		return v.Origin[:list]
	}
	return v.Origin
}

// Warning is what a program that takes a file says of a line of the user's own in it, at its place in the spec.
func (v Verdict) Warning(program string, doc *api.Document) yamlfile.Problem {
	p := doc.Problem(v.Origin, "%s warns: %s", program, v.words())
	p.Path, p.Warning = v.field(), true
	return p
}

// Place gives what stems from a field of a spec its place there.
func (r *Refusal) Place(doc *api.Document) {
	for i := range r.Lines {
		if v := &r.Lines[i]; v.Origin != "" {
			v.problem = doc.Problem(v.Origin, "%s", v.words())
			v.problem.Path = v.field()
		}
	}
}

// Problems are what has a place in the spec.
func (r *Refusal) Problems() (all yamlfile.Problems) {
	for _, v := range r.Lines {
		if v.problem.File != "" {
			all = append(all, v.problem)
		}
	}
	return all
}

// Error is all that the program said, a line each. What has a place in the spec has the form of the spec's problems.
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

// Refusals are those that an error holds.
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

// Checker asks the real programs.
type Checker interface {
	// Check asks the real programs, if installed, what they think of rendered files that are not installed yet. The
	// error is a *Refusal, or two of them joined; a program that is not installed is named in unchecked. Only a temporary directory is written.
	Check(ctx context.Context, files []render.File) (unchecked []string, err error)
}
