package api

import (
	"reflect"
	"strings"
	"sync"
)

var structFields sync.Map // reflect.Type to map[string]reflect.Type

// fieldTypeOf is the type of what stands under a name in a struct or a map, or nil.
func fieldTypeOf(t reflect.Type, name string) reflect.Type {
	if t.Kind() == reflect.Map {
		return t.Elem()
	}
	known, ok := structFields.Load(t)
	if !ok {
		fields := map[string]reflect.Type{}
		for field := range t.Fields() {
			fields[jsonName(field)] = field.Type
		}
		known, _ = structFields.LoadOrStore(t, fields)
	}
	return known.(map[string]reflect.Type)[name]
}

// namesOf lists the JSON names of a struct in the order of its declaration.
func namesOf(t reflect.Type) []string {
	var names []string
	for field := range t.Fields() {
		names = append(names, jsonName(field))
	}
	return names
}

func jsonName(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	return name
}
