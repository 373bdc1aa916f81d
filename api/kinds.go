package api

import (
	"reflect"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// The functions of this file read one kind of value each, or say what it must be where it is not.

func collection(node *yaml.Node, kind yaml.Kind) (wanted string) {
	switch {
	case node.Kind == kind && (node.ShortTag() == "!!map" || node.ShortTag() == "!!seq"):
		return ""
	case kind == yaml.MappingNode:
		return "a mapping of fields"
	}
	return "a list"
}

const quotedString = "a string in quotes"

func text(node *yaml.Node, into reflect.Value) (wanted string) {
	switch {
	case isString(node):
		into.SetString(node.Value)
		return ""
	case node.Kind == yaml.ScalarNode:
		return quotedString
	}
	return "a string"
}

func integer(node *yaml.Node, into reflect.Value) (wanted string) {
	var value int
	if node.Kind == yaml.ScalarNode && node.Style == 0 && len(node.Value) >= 19 && longNumber.MatchString(node.Value) {
		return "a smaller whole number"
	}
	decimal, err := strconv.Atoi(node.Value)
	switch {
	case isString(node) && err == nil:
		return "a whole number without quotes"
	case node.Kind != yaml.ScalarNode || node.ShortTag() != "!!int":
		return "a whole number"
	case err == nil && strconv.Itoa(decimal) == node.Value:
		value = decimal // as nearly always
	case node.Decode(&value) != nil:
		return "a whole number"
	case err == nil && decimal != value:
		return "a whole number without a leading zero" // 010 is 8 to some programs, 10 to others
	}
	into.SetInt(int64(value))
	return ""
}

var longNumber = regexp.MustCompile(`^[+-]?[0-9]{19,}$`)

// boolean takes yes, no, on and off as well, as kubectl does.
func boolean(node *yaml.Node, into reflect.Value) (wanted string) {
	var value bool
	if isString(node) && node.Style != 0 && boolean(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: node.Value}, into) == "" {
		return "true or false without quotes"
	}
	plain := node.Kind == yaml.ScalarNode && (node.Style == 0 || node.ShortTag() == "!!bool")
	if !plain || node.Decode(&value) != nil {
		return "true or false"
	}
	into.SetBool(value)
	return ""
}
