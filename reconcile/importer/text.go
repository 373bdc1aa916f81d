package importer

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"rlb.dev/rlb-agent/api"
)

// text returns a spec in YAML, in the order of the reference. comments are written before their fields; the keys are paths.
func text(spec *api.LoadBalancerSpec, comments map[string]string) string {
	w := writer{comments: comments}
	w.fields(reflect.ValueOf(spec).Elem(), "", "")
	return w.String()
}

// widest is the longest line with a mapping or list in braces, in bytes.
const widest = 118

// statusCodes is the type of the only list that stays on one line at any length.
var statusCodes = reflect.TypeFor[[]int]()

type writer struct {
	strings.Builder
	comments map[string]string
}

// fields writes the fields of a struct that have a value, one line or block each.
func (w *writer) fields(v reflect.Value, indent, path string) {
	first := indent
	for i := range v.NumField() {
		field := v.Field(i)
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if field.IsZero() {
			continue
		}
		at := strings.TrimPrefix(path+"."+name, ".")
		if path == "" && (name == "nodes" || name == "vrrp" || name == "services" || name == "proxy") {
			w.WriteByte('\n')
		}
		if comment := w.comments[at]; comment != "" {
			fmt.Fprintf(w, "%s# %s\n", indent, comment)
		}
		w.WriteString(first + name + ":")
		first = strings.ReplaceAll(indent, "-", " ")
		w.value(field, first, at)
	}
}

// value writes the value of a field after its name.
func (w *writer) value(v reflect.Value, indent, path string) {
	flow := inBraces(v)
	blocks := v.Kind() == reflect.Slice && v.Len() > 0 && v.Index(0).Kind() == reflect.Struct && v.Type() != reflect.TypeFor[[]api.VirtualIP]()
	switch {
	case v.Type() == statusCodes, !blocks && len(indent)+len(path)+len(flow) <= widest && !(v.Kind() == reflect.Struct && indent == ""):
		w.WriteString(" " + flow + "\n")
	case v.Kind() == reflect.Struct:
		w.WriteByte('\n')
		w.fields(v, indent+"  ", path)
	case v.Kind() == reflect.Slice:
		w.WriteByte('\n')
		for i := range v.Len() {
			item := v.Index(i)
			if flow := inBraces(item); len(flow) <= widest && v.Type() != reflect.TypeFor[[]api.Service]() || item.Kind() != reflect.Struct {
				w.WriteString(indent + "- " + flow + "\n")
				continue
			}
			w.fields(item, indent+"- ", path)
		}
	default:
		w.WriteString(" " + flow + "\n")
	}
}

// inBraces returns a value on one line. For a list or a struct that is longer than widest, it returns only a beginning that
// is longer than widest too. Otherwise each level above a large value would write the whole value once.
func inBraces(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case *api.Duration:
		return value.String()
	case api.VirtualIP:
		if value.Interface == "" {
			return api.Scalar(value.Address)
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		return inBraces(v.Elem())
	case reflect.String:
		return api.Scalar(v.String())
	case reflect.Struct:
		var parts []string
		length := 0
		for i := 0; i < v.NumField() && length <= widest; i++ {
			if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); !v.Field(i).IsZero() {
				parts = append(parts, name+": "+inBraces(v.Field(i)))
				length += len(parts[len(parts)-1])
			}
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case reflect.Slice:
		var parts []string
		length := 0
		for i := 0; i < v.Len() && (length <= widest || v.Type() == statusCodes); i++ {
			parts = append(parts, inBraces(v.Index(i)))
			length += len(parts[i])
		}
		if one := v.Type() == reflect.TypeFor[api.Strings]() || v.Type() == reflect.TypeFor[api.Command](); one && len(parts) == 1 {
			return parts[0]
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	data, err := json.Marshal(v.Interface())
	if err != nil { // impossible for numbers and booleans
		return "null"
	}
	return string(data)
}

// isRawLine says whether a text can be a raw line of the spec.
func isRawLine(line string) bool {
	return utf8.ValidString(line) && !strings.ContainsFunc(line, func(c rune) bool { return unicode.IsControl(c) && c != '\t' })
}
