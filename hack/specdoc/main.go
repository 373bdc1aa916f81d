// Command specdoc generates two files from the types of package api: the manual's page on the spec (an introduction,
// and the reference from the types' comments), and the JSON Schema that "rlb-agent schema" prints. Run it in the root
// of the repository: "make manual".
package main

import (
	_ "embed"
	"fmt"
	"os"
)

const (
	source   = "api"
	page     = "cmd/rlb-agent/manual/spec.md"
	jsonFile = "cmd/rlb-agent/schema/schema.json"
)

//go:embed head.md
var head string

func main() {
	text, err := specPage(source)
	if err == nil {
		err = os.WriteFile(page, []byte(text), 0o644)
	}
	var schema []byte
	if err == nil {
		schema, err = schemaFile(source)
	}
	if err == nil {
		err = os.WriteFile(jsonFile, schema, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "specdoc:", err)
		os.Exit(1)
	}
}

// specPage returns the whole page, generated from the Go files of a directory.
func specPage(dir string) (string, error) {
	types, err := readTypes(dir)
	if err != nil {
		return "", err
	}
	reference, err := types.reference("LoadBalancerSpec")
	if err != nil {
		return "", err
	}
	return head + "\n" + reference, nil
}
