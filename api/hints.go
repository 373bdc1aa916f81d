package api

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"

	"go.yaml.in/yaml/v3"
)

var (
	plainNumber = regexp.MustCompile(`^[0-9]+$`)
	numberRange = regexp.MustCompile(`^[0-9]+ *(?:-|\.\.) *[0-9]+$`)
	inDays      = regexp.MustCompile(`^([0-9]+)d$`)
)

// hint says what would be right in place of a value of another kind, as ": …", or "".
func hint(node *yaml.Node, wanted reflect.Type) string {
	if braces(node) != "" {
		return ": an unfilled variable of a template"
	}
	if node.Kind == yaml.SequenceNode && node.Style&yaml.FlowStyle != 0 && wantsText(wanted) {
		return ": brackets make a list"
	}
	if node.Kind != yaml.ScalarNode {
		return ""
	}
	if odd := oddity(node.Value); odd != "" {
		return odd
	}
	switch {
	case wanted == reflect.TypeFor[Duration]():
		return durationHint(node.Value)
	case wanted == reflect.TypeFor[Server]():
		return serverHint(node.Value)
	case wanted.Name() == "" && wanted.Kind() == reflect.Slice && wanted.Elem().Kind() != reflect.Struct, wanted == reflect.TypeFor[[]VirtualIP]():
		return ": write [" + printable(node.Value) + "]"
	case wanted.Kind() == reflect.Int && numberRange.MatchString(node.Value):
		return ": a range cannot be given"
	}
	return ""
}

// wantsText tells whether a text alone would do.
func wantsText(t reflect.Type) bool {
	return t.Kind() == reflect.String || t == reflect.TypeFor[VirtualIP]()
}

func durationHint(value string) string {
	days := inDays.FindStringSubmatch(value)
	switch {
	case value == "0":
		return ": 0 has no unit; for no limit write a long time, such as 576h (24 days)"
	case plainNumber.MatchString(value):
		return ": a unit is missing, as in " + value + "s or " + value + "ms"
	case days != nil:
		return ": a day is 24h"
	}
	return ""
}

// serverHint says how a server is written that was given as an address, or an address and a port.
func serverHint(value string) string {
	if at, err := netip.ParseAddrPort(value); err == nil {
		return fmt.Sprintf(": write {address: %s, port: %d}", at.Addr(), at.Port())
	}
	if hostRule(value, "") == "" {
		return ": write {address: " + value + "}"
	}
	return ""
}
