// Package schema holds the JSON Schema of the spec, and explains its fields.
package schema

import _ "embed"

// JSON is the JSON Schema (draft 2020-12). hack/specdoc generates it from the types of package api: make
// manual.
//
//go:embed schema.json
var JSON []byte
