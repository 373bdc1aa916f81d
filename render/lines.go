package render

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"time"

	"rlb.dev/rlb-agent/api"
)

// header is the first line of every rendered file.
const header = "# Rendered by rlb-agent from /etc/rlb/spec.yaml: edit that file, what is changed here is undone."

// lines collects the lines of a file, and for each line the field of the spec that it comes from.
type lines struct {
	data    []byte
	origins []origin
}

// origin is the field of the spec that a line comes from, or none. A file may have a hundred thousand servers, so their
// paths are made only on demand.
type origin struct {
	path   string
	server int32 // from 1, among the servers of the service at path; 0 for the path itself
	raw    int32 // from 1, among the user's own lines at path; 0 if the line is not one of them
}

func (o origin) String() string {
	switch {
	case o.server > 0:
		return o.path + ".servers[" + strconv.Itoa(int(o.server)-1) + "]"
	case o.raw > 0:
		return o.path + "[" + strconv.Itoa(int(o.raw)-1) + "]"
	}
	return o.path
}

func newLines() *lines {
	l := new(lines)
	l.add("", header)
	return l
}

// add appends a line that comes from the field at origin.
func (l *lines) add(origin, format string, args ...any) {
	l.data = append(fmt.Appendf(l.data, format, args...), '\n')
	l.origins = append(l.origins, originOf(origin))
}

func originOf(path string) origin { return origin{path: path} }

// server appends the line of the i-th server, from 0, of the service at path.
func (l *lines) server(path string, i int, line string) {
	l.data = append(append(append(l.data, "    server "...), line...), '\n')
	l.origins = append(l.origins, origin{path: path, server: int32(i) + 1})
}

// grow makes room for n usual lines of servers.
func (l *lines) grow(n int) {
	l.data = slices.Grow(l.data, n*usualServerLine)
	l.origins = slices.Grow(l.origins, n)
}

// usualServerLine is the length of the line of a server with a health check and a long name, in bytes.
const usualServerLine = 140

// section appends blank lines and then a line that opens a section.
func (l *lines) section(blank int, origin, format string, args ...any) {
	for range blank {
		l.add("", "")
	}
	l.add(origin, format, args...)
}

// timeout appends a timeout of HAProxy if it is set.
func (l *lines) timeout(origin, name string, d *api.Duration) {
	if d != nil {
		l.add(origin, "    timeout %s %s", name, millis(d))
	}
}

// raw appends the user's own lines, indented.
func (l *lines) raw(path string, extra api.Lines) {
	for i := range extra {
		l.rawLine(path, extra, i)
	}
}

// rawLine appends one of the user's own lines.
func (l *lines) rawLine(path string, extra api.Lines, i int) {
	l.data = append(append(append(l.data, "    "...), extra[i]...), '\n')
	l.origins = append(l.origins, origin{path: path, raw: int32(i) + 1})
}

func (l *lines) file(path string, kind Kind) File {
	return File{
		Path:    path,
		Data:    l.data,
		Mode:    kind.mode(),
		Kind:    kind,
		origins: l.origins,
	}
}

// Time formats a duration for haproxy.cfg.
func Time(d api.Duration) string { return millis(&d) }

// millis formats a duration as the original does: in milliseconds, but above a minute in whole hours or minutes if the
// duration is a multiple of them (HAProxy configuration manual §2.4, time format).
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

// IsRendered reports whether the agent rendered a file.
func IsRendered(data []byte) bool { return bytes.HasPrefix(data, []byte("# Rendered by rlb-agent ")) }
