// Package yamlfile knows a YAML file as people see it: its lines, the places of its values, and the problems that are told
// of it, with what its author most likely meant. It knows no field of the spec.
package yamlfile
