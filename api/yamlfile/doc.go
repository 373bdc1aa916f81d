// Package yamlfile reads YAML files and reports their problems: the line and column of each problem, an excerpt of the
// file, and what the author most likely meant. It does not depend on the fields of the spec.
package yamlfile
