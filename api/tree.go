package api

import (
	"strconv"
	"strings"
)

// place is a position in the file; both count from 1.
type place struct{ line, column int }

// tree is what is left of a file once all that does not fit the language is taken out: every value with its place.
type tree struct {
	place
	fields map[string]*tree // of a mapping
	items  []*tree          // of a list; nil where an entry was taken out
	scalar any              // a string, an int64 or a bool
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

// find returns what stands at a path, or else its nearest parent that is there.
func (t *tree) find(path string) (found *tree, exact bool) {
	for path != "" {
		var next *tree
		if rest, isEntry := strings.CutPrefix(path, "["); isEntry {
			var key string
			key, path, _ = strings.Cut(rest, "]")
			next = t.fields[key]
			if i, err := strconv.Atoi(key); err == nil && 0 <= i && i < len(t.items) {
				next = t.items[i]
			}
		} else {
			path = strings.TrimPrefix(path, ".")
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			next, path = t.fields[path[:end]], path[end:]
		}
		if next == nil {
			return t, false
		}
		t = next
	}
	return t, true
}
