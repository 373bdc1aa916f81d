package yamlfile

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// PlaceOf returns the place of a node in the file.
func PlaceOf(n *yaml.Node) Place { return Place{max(1, n.Line), max(1, n.Column)} }

// Resolve returns the node that an alias refers to, or the node itself if it is no alias.
func Resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// IsNull reports whether a node is null. A name without a value is null too.
func IsNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// IsString reports whether a node is a string. A timestamp of YAML 1.1 counts as a string: the spec has no timestamps.
func IsString(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && (node.ShortTag() == "!!str" || node.ShortTag() == "!!timestamp")
}

// Describe describes a node that has the wrong kind, for "got …" in a message.
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

// Braces returns a template's "{{ name }}" that YAML, without quotes, reads as a mapping whose only key is a mapping. It
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
