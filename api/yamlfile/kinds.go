package yamlfile

import (
	"reflect"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Each function of this file reads one kind of value. If the node has another kind, it returns what the node must be.

// CheckCollection returns "" if a node is of the kind, a mapping or a list, else what the node must be.
func CheckCollection(node *yaml.Node, kind yaml.Kind) (wanted string) {
	switch {
	case node.Kind == kind && (node.ShortTag() == "!!map" || node.ShortTag() == "!!seq"):
		return ""
	case kind == yaml.MappingNode:
		return "a mapping of fields"
	}
	return "a list"
}

// QuotedString is what a node must be if it is a scalar but no string.
const QuotedString = "a string in quotes"

// ReadString reads a string.
func ReadString(node *yaml.Node, into reflect.Value) (wanted string) {
	switch {
	case IsString(node):
		into.SetString(node.Value)
		return ""
	case node.Kind == yaml.ScalarNode:
		return QuotedString
	}
	return "a string"
}

// ReadInteger reads a whole number.
func ReadInteger(node *yaml.Node, into reflect.Value) (wanted string) {
	var value int
	if node.Kind == yaml.ScalarNode && node.Style == 0 && len(node.Value) >= 19 && longNumber.MatchString(node.Value) {
		return "a smaller whole number"
	}
	decimal, err := strconv.Atoi(node.Value)
	switch {
	case IsString(node) && err == nil:
		return "a whole number without quotes"
	case node.Kind != yaml.ScalarNode || node.ShortTag() != "!!int":
		return "a whole number"
	case err == nil && strconv.Itoa(decimal) == node.Value:
		value = decimal // nearly all numbers
	case node.Decode(&value) != nil:
		return "a whole number"
	case err == nil && decimal != value:
		return "a whole number without a leading zero" // some programs read 010 as 8, others as 10
	}
	into.SetInt(int64(value))
	return ""
}

var longNumber = regexp.MustCompile(`^[+-]?[0-9]{19,}$`)

// ReadBoolean reads a boolean. Like kubectl, it accepts yes, no, on and off too.
func ReadBoolean(node *yaml.Node, into reflect.Value) (wanted string) {
	var value bool
	if IsString(node) && node.Style != 0 && ReadBoolean(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: node.Value}, into) == "" {
		return "true or false without quotes"
	}
	plain := node.Kind == yaml.ScalarNode && (node.Style == 0 || node.ShortTag() == "!!bool")
	if !plain || node.Decode(&value) != nil {
		return "true or false"
	}
	into.SetBool(value)
	return ""
}
