package yamlfile

import (
	"cmp"
	"strconv"
	"strings"
)

// Place is a position in the file; both count from 1.
type Place struct{ line, column int }

// Start is the place of a problem of the file as a whole.
var Start = Place{1, 1}

// compare orders places as the file has them.
func (p Place) compare(q Place) int {
	return cmp.Or(cmp.Compare(p.line, q.line), cmp.Compare(p.column, q.column))
}

// Join is the path of a field of path.
func Join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

// Index is the path of an entry of a list.
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// Parent is the path without its last step.
func Parent(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

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
