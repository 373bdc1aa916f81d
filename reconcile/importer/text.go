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

// text is a spec in YAML, in the order of the reference. comments stand before the fields that they are of, by path.
func text(spec *api.LoadBalancerSpec, comments map[string]string) string {
	w := writer{comments: comments}
	w.fields(reflect.ValueOf(spec).Elem(), "", "")
	return w.String()
}

// widest is how long a line with a mapping or list in braces gets.
const widest = 118

// statusCodes is the type of the only list that stands on one line however long it is.
var statusCodes = reflect.TypeFor[[]int]()

type writer struct {
	strings.Builder
	comments map[string]string
}

// fields writes the fields of a struct that have a value, a line or a block each.
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

// value writes what stands behind a field's name.
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

// inBraces is a value on one line. Of a list or a struct that is too long for one, it is only the beginning, which is too
// long as well: a large value would be written out once at each level above it.
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
	if err != nil { // of numbers and booleans there is none
		return "null"
	}
	return string(data)
}

// isRawLine says whether a text can be a raw line of the spec.
func isRawLine(line string) bool {
	return utf8.ValidString(line) && !strings.ContainsFunc(line, func(c rune) bool { return unicode.IsControl(c) && c != '\t' })
}
