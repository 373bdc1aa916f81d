package main

import (
	_ "embed"

	"github.com/spf13/cobra"
)

// jsonSchema is made by hack/specdoc from the types of package api: make manual.
//
//go:embed schema.json
var jsonSchema []byte

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the spec",
		Long: `Prints the JSON Schema (draft 2020-12) of the spec file, for editors and CI. It needs no root and no host.

The schema checks fields, types, ranges and forms. What depends on several fields, on the length of a duration or on
the host is checked by "rlb-agent validate" alone.`,
		Example: `  rlb-agent schema > rlb-schema.json
  # first line of a spec, for editors with the YAML language server:
  # yaml-language-server: $schema=/usr/local/share/rlb-agent/schema.json`,
		Args: atMost(0),
		RunE: func(*cobra.Command, []string) error {
			_, err := a.stdout.Write(jsonSchema)
			return err
		},
	}
}
