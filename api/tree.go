package api

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// place is a position in the file; both count from 1.
type place struct{ line, column int }

// tree is what is left of a file once all that does not fit the language is taken out: every value with its place.
type tree struct {
	place
	fields map[string]*tree // of a mapping
	items  []*tree          // of a list; nil where an entry was taken out
	scalar any              // a string, an int64 or a bool
	text   bool             // raw lines that are written as one text
	block  bool             // and that as a literal block: what stands behind "|" begins on the next line
}

// plain is the tree without places, as encoding/json writes it.
func (t *tree) plain() any {
	switch {
	case t == nil:
		return nil
	case t.fields != nil:
		object := make(map[string]any, len(t.fields))
		for name, field := range t.fields {
			object[name] = field.plain()
		}
		return object
	case t.items != nil:
		list := make([]any, len(t.items))
		for i, item := range t.items {
			list[i] = item.plain()
		}
		return list
	}
	return t.scalar
}

// lineAt is the place of one of the raw lines of a block, by its index in brackets.
func (t *tree) lineAt(index string, data []byte) place {
	i, err := strconv.Atoi(strings.Trim(index, "[]"))
	if err != nil {
		return t.place
	}
	at := place{t.line + 1 + i, 1}
	line := lineOf(data, at.line)
	at.column += utf8.RuneCount(line) - utf8.RuneCount(bytes.TrimLeft(line, " "))
	return at
}

// find returns what stands at a path, or else its nearest parent that is there, and the part of the path beneath it.
func (t *tree) find(path string) (found *tree, rest string) {
	for path != "" {
		var next *tree
		after := ""
		if inner, isEntry := strings.CutPrefix(path, "["); isEntry {
			var key string
			key, after, _ = strings.Cut(inner, "]")
			next = t.fields[key]
			if i, err := strconv.Atoi(key); err == nil && 0 <= i && i < len(t.items) {
				next = t.items[i]
			}
		} else {
			name := strings.TrimPrefix(path, ".")
			end := strings.IndexAny(name, ".[")
			if end < 0 {
				end = len(name)
			}
			next, after = t.fields[name[:end]], name[end:]
		}
		if next == nil {
			return t, path
		}
		t, path = next, after
	}
	return t, ""
}

// lineOf is a line of the file without its end, counted from 1; nil where there is none.
func lineOf(data []byte, number int) []byte {
	for line := range bytes.Lines(data) {
		if number--; number == 0 {
			return bytes.TrimRight(line, "\r\n")
		}
	}
	return nil
}
