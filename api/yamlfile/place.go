package yamlfile

import (
	"cmp"
	"strconv"
	"strings"
)

// Place is a position in the file. line and column count from 1.
type Place struct{ line, column int }

// Start is the place of a problem of the file as a whole.
var Start = Place{1, 1}

// compare orders places as in the file: it returns -1, 0 or 1.
func (p Place) compare(q Place) int {
	return cmp.Or(cmp.Compare(p.line, q.line), cmp.Compare(p.column, q.column))
}

// Join returns the path of a field beneath path.
func Join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

// Index returns the path of an entry of a list.
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// Parent returns the path without its last step.
func Parent(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

// firstStep splits a path after its first step: a name, a key in brackets or an index in brackets.
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
