package render

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
)

// header is the first line of every rendered file.
const header = "# Rendered by rlb-agent from /etc/rlb/spec.yaml: edit that file, what is changed here is undone."

// lines is a file in the making: its lines, and for each the field of the spec that it stems from.
type lines struct {
	text    []string
	origins []string
}

func newLines() *lines {
	l := new(lines)
	l.add("", header)
	return l
}

// add appends a line that stems from the field at origin.
func (l *lines) add(origin, format string, args ...any) {
	l.text = append(l.text, fmt.Sprintf(format, args...))
	l.origins = append(l.origins, origin)
}

// section appends blank lines and then a line that opens a section.
func (l *lines) section(blank int, origin, format string, args ...any) {
	for range blank {
		l.add("", "")
	}
	l.add(origin, format, args...)
}

// timeout appends a timeout of HAProxy, where it is set.
func (l *lines) timeout(origin, name string, d *api.Duration) {
	if d != nil {
		l.add(origin, "    timeout %s %s", name, millis(d))
	}
}

// raw appends the user's own lines, indented.
func (l *lines) raw(origin string, extra api.Lines) {
	for _, line := range extra {
		l.add(origin, "    %s", line)
	}
}

func (l *lines) file(path string, kind Kind) File {
	return File{
		Path:    path,
		Data:    []byte(strings.Join(l.text, "\n") + "\n"),
		Mode:    kind.mode(),
		Kind:    kind,
		origins: l.origins,
	}
}

// Time is a duration as HAProxy's files have it.
func Time(d api.Duration) string { return millis(&d) }

// millis writes a duration as the original does, in milliseconds up to a minute, and in whole hours or minutes above
// where it comes out even (HAProxy configuration manual §2.4, time format).
func millis(d *api.Duration) string {
	t := d.D()
	switch {
	case t > time.Minute && t%time.Hour == 0:
		return fmt.Sprintf("%dh", t/time.Hour)
	case t > time.Minute && t%time.Minute == 0:
		return fmt.Sprintf("%dm", t/time.Minute)
	}
	return fmt.Sprintf("%dms", t.Milliseconds())
}

// IsRendered says whether the agent rendered a file.
func IsRendered(data []byte) bool { return bytes.HasPrefix(data, []byte("# Rendered by rlb-agent ")) }
