package api

import (
	"strconv"
	"strings"
)

// place is a position in the file; both count from 1.
type place struct{ line, column int }

// tree has the place of every value of a file that fits the language. The values themselves are in the spec.
type tree struct {
	place
	names []string // of a mapping, one for each item
	items []*tree  // of a mapping or a list; nil where the value is of another kind
	kind  treeKind
}

type treeKind uint8

const (
	collectionTree treeKind = iota
	scalarTree
	linesTree // raw lines that are written as one text
	blockTree // and that as a literal block: the text behind "|" begins on the next line
)

// find returns the value at a path, or else its nearest parent that exists, and the part of the path beneath it.
func (t *tree) find(path string) (found *tree, rest string) {
	for path != "" {
		step, after := firstStep(path)
		next := t.item(step)
		if next == nil {
			return t, path
		}
		t, path = next, after
	}
	return t, ""
}

// firstStep cuts a path behind its first step: a name, a key in brackets or an index in brackets.
func firstStep(path string) (step, after string) {
	if inner, isEntry := strings.CutPrefix(path, "["); isEntry {
		step, after, _ = strings.Cut(inner, "]")
		return step, after
	}
	path = strings.TrimPrefix(path, ".")
	if end := strings.IndexAny(path, ".["); end >= 0 {
		return path[:end], path[end:]
	}
	return path, ""
}

// item returns the value under a name or an index, or nil.
func (t *tree) item(step string) *tree {
	if t.names == nil {
		if i, err := strconv.Atoi(step); err == nil && 0 <= i && i < len(t.items) {
			return t.items[i]
		}
		return nil
	}
	for i, name := range t.names {
		if name == step {
			return t.items[i]
		}
	}
	return nil
}
