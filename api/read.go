package api

import (
	"bytes"
	"errors"
	"io"

	"go.yaml.in/yaml/v3"
)

// ReadAll reads a spec file, and no more of it than shows that it is too large. Parse then says so.
func ReadAll(r io.Reader) ([]byte, error) { return io.ReadAll(io.LimitReader(r, MaxFileSize+1)) }

// readNode reads the one document of a file. It returns nil where there is nothing to look into; the reason is
// then in the report.
func readNode(data []byte, found *report) *yaml.Node {
	if len(data) > MaxFileSize {
		found.add(place{1, 1}, "", "must be at most %d bytes", MaxFileSize)
		return nil
	}
	var root *yaml.Node
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var node yaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			where, message := syntaxProblem(data, err)
			found.addAlways(where, "", "%s", message)
			return nil
		}
		if len(node.Content) == 0 || isNull(node.Content[0]) {
			continue // an empty document, before or after the one that counts
		}
		if root != nil {
			found.addAlways(placeOf(node.Content[0]), "", "must be one document, got a second one")
			break
		}
		root = node.Content[0]
	}
	if root == nil {
		found.add(place{1, 1}, "", "must be a "+Kind+", got an empty file")
	}
	return root
}

func placeOf(n *yaml.Node) place { return place{max(1, n.Line), max(1, n.Column)} }

// resolve follows an alias to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }
