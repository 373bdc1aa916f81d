package api

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"rlb.dev/rlb-agent/api/textrule"
	"rlb.dev/rlb-agent/api/yamlfile"
)

var (
	numberRange = regexp.MustCompile(`^[0-9]+ *(?:-|\.\.) *[0-9]+$`)
	inDays      = regexp.MustCompile(`^([0-9]+)d$`)
)

// hint proposes what to write in place of a value of the wrong kind, as ": …", or returns "". path is that of its field.
func hint(node *yaml.Node, wanted reflect.Type, path string) string {
	if yamlfile.Braces(node) != "" {
		return ": an unfilled variable of a template"
	}
	if node.Kind == yaml.SequenceNode && node.Style&yaml.FlowStyle != 0 && wantsText(wanted) {
		return ": brackets make a list"
	}
	if node.Kind != yaml.ScalarNode {
		return ""
	}
	if odd := yamlfile.Oddity(node.Value); odd != "" {
		return odd
	}
	switch {
	case wanted == reflect.TypeFor[Duration]():
		return durationHint(node.Value, path)
	case wanted == reflect.TypeFor[Server]():
		return serverHint(node.Value)
	case wanted.Name() == "" && wanted.Kind() == reflect.Slice && wanted.Elem().Kind() != reflect.Struct, wanted == reflect.TypeFor[[]VirtualIP]():
		if node.Style != 0 { // a value like "*" needs its quotes
			return ": write [" + yamlfile.Quote(node.Value) + "]"
		}
		return ": write [" + yamlfile.Printable(node.Value) + "]"
	case wanted.Kind() == reflect.Int && numberRange.MatchString(node.Value):
		return ": a range cannot be given"
	}
	return ""
}

// wantsText reports whether the type can be written as a single text.
func wantsText(t reflect.Type) bool {
	return t.Kind() == reflect.String || t == reflect.TypeFor[VirtualIP]()
}

// durationHint proposes only durations that the field at the path accepts.
func durationHint(value, path string) string {
	const noLimit = 24 * 24 * time.Hour
	rule, isLimit := durationRuleAt(path), !strings.HasSuffix(path, ".interval")
	days := inDays.FindStringSubmatch(value)
	switch {
	case value == "0" && rule.takes(0):
		return ": 0 has no unit, write 0s"
	case value == "0" && isLimit && rule.takes(noLimit):
		return ": 0 has no unit; for no limit write a long time, such as 576h (24 days)"
	case value == "0":
		return ": 0 is too short"
	case textrule.IsNumber(value):
		return ": a unit is missing" + withUnits(value, rule)
	case days != nil:
		return ": a day is 24h"
	}
	return ""
}

// withUnits lists the durations that a number without a unit can mean, as ", as in …", or returns "".
func withUnits(number string, rule durationRule) string {
	var units []string
	for _, text := range []string{number + "s", number + "ms"} {
		if d, err := time.ParseDuration(text); err == nil && rule.takes(d) {
			units = append(units, text)
		}
	}
	if len(units) == 0 {
		return ""
	}
	return ", as in " + yamlfile.Either(units)
}

// serverHint says how to write a server that was given as an address, or as an address and a port.
func serverHint(value string) string {
	if at, err := netip.ParseAddrPort(value); err == nil {
		return fmt.Sprintf(": write {address: %s, port: %d}", at.Addr(), at.Port())
	}
	if textrule.Host(value, "") == "" {
		return ": write {address: " + value + "}"
	}
	return ""
}
