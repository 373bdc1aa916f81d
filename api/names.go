package api

import (
	"reflect"
	"strings"
	"sync"
)

var structFields sync.Map // reflect.Type to map[string]int

// fieldsOf returns the index of each field of a struct by its JSON name.
func fieldsOf(t reflect.Type) map[string]int {
	if known, ok := structFields.Load(t); ok {
		return known.(map[string]int)
	}
	fields := map[string]int{}
	for i, name := range namesOf(t) {
		fields[name] = i
	}
	structFields.Store(t, fields)
	return fields
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
