package yamlfile

import "strconv"

// Tree holds the place of every value of a file that fits the language. The spec holds the values themselves.
type Tree struct {
	// Place of the value.
	Place
	// Names of a mapping, one for each item. They are nil for other kinds of values.
	Names []string
	// Items of a mapping or a list. They are nil for other kinds of values.
	Items []*Tree
	// Kind of the value.
	Kind TreeKind
}

// TreeKind is how a value is written.
type TreeKind uint8

// The kinds of values. LinesTree is raw lines that are written as one text. BlockTree is raw lines in a literal block:
// the text after "|" begins on the next line.
const (
	collectionTree TreeKind = iota
	ScalarTree
	LinesTree
	BlockTree
)

// Find returns the value at a path. If the value does not exist, it returns its nearest parent that does, and the part of
// the path beneath that parent.
func (t *Tree) Find(path string) (found *Tree, rest string) {
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

// item returns the value under a name or an index, or nil.
func (t *Tree) item(step string) *Tree {
	if t.Names == nil {
		if i, err := strconv.Atoi(step); err == nil && 0 <= i && i < len(t.Items) {
			return t.Items[i]
		}
		return nil
	}
	for i, name := range t.Names {
		if name == step {
			return t.Items[i]
		}
	}
	return nil
}
