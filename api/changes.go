package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"sigs.k8s.io/yaml"
)

// Changes returns the differences between two specs as they were written, one short sentence each, in the order of the
// paths: "vrrp.priority: 100 → 254", "services.web.servers.master3: added". A default that is written out is a change.
// The members of a list are identified by their name, or by their address if they have no name.
func Changes(before, after *Document) []string {
	return difference("", written(before), written(after))
}

// written returns a document's data as maps, lists and scalars. Parse has accepted the data, so decoding cannot fail.
func written(d *Document) any {
	var tree any
	if err := yaml.Unmarshal(d.Data, &tree); err != nil {
		return nil
	}
	return tree
}

func difference(path string, before, after any) []string {
	from, fromFields := membersOf(before)
	to, toFields := membersOf(after)
	if !fromFields || !toFields {
		if text := scalar(before); text != scalar(after) {
			return []string{fmt.Sprintf("%s: %s → %s", path, text, scalar(after))}
		}
		return nil
	}
	var changes []string
	all := maps.Clone(from)
	maps.Copy(all, to)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		child := name
		if path != "" {
			child = path + "." + name
		}
		was, had := from[name]
		is, has := to[name]
		switch {
		case !had && single(is):
			changes = append(changes, child+": "+scalar(is))
		case !had:
			changes = append(changes, child+": added")
		case !has:
			changes = append(changes, child+": removed")
		default:
			changes = append(changes, difference(child, was, is)...)
		}
	}
	return changes
}

// membersOf returns the members of a map, or of a list whose members all have different names.
func membersOf(value any) (map[string]any, bool) {
	if fields, ok := value.(map[string]any); ok {
		return fields, true
	}
	items, ok := value.([]any)
	if !ok {
		return nil, false
	}
	members := map[string]any{}
	for _, item := range items {
		fields, _ := item.(map[string]any)
		name, ok := fields["name"].(string)
		if !ok {
			name, ok = fields["address"].(string)
		}
		if _, twice := members[name]; !ok || twice {
			return nil, false
		}
		members[name] = item
	}
	return members, true
}

func single(value any) bool {
	switch value.(type) {
	case map[string]any, []any:
		return false
	}
	return true
}

// scalar formats a value on one line.
func scalar(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(text)
}
