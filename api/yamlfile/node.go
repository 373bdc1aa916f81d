package yamlfile

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// PlaceOf is where a node stands.
func PlaceOf(n *yaml.Node) Place { return Place{max(1, n.Line), max(1, n.Column)} }

// Resolve follows an alias to what it stands for.
func Resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// IsNull tells whether a node is null, or absent behind its name.
func IsNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// IsString takes what YAML 1.1 reads as a timestamp for a string too: the language has no timestamps.
func IsString(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && (node.ShortTag() == "!!str" || node.ShortTag() == "!!timestamp")
}

// Describe says what stands in the file where something else should.
func Describe(node *yaml.Node) string {
	switch tag := node.ShortTag(); {
	case !strings.HasPrefix(tag, "!!") || tag == "!!binary":
		return "a value with the tag " + Printable(tag)
	case Braces(node) != "":
		return Printable(Braces(node))
	case node.Kind == yaml.MappingNode:
		return "a mapping"
	case node.Kind == yaml.SequenceNode:
		return "a list"
	case IsString(node):
		return "a string " + Quote(node.Value)
	}
	return Printable(node.Value)
}

// Braces is a template's "{{ name }}" as YAML reads it without quotes: a mapping whose only key is a mapping. It
// returns "" for other nodes.
func Braces(node *yaml.Node) string {
	if node.Kind != yaml.MappingNode || len(node.Content) != 2 || node.Content[0].Kind != yaml.MappingNode {
		return ""
	}
	if inner := node.Content[0]; len(inner.Content) == 2 && inner.Content[0].Kind == yaml.ScalarNode {
		return "{{ " + shorten(inner.Content[0].Value) + " }}"
	}
	return "{{ … }}"
}
