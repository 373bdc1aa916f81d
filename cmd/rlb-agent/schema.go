package main

import (
	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/cmd/rlb-agent/schema"
)

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
			_, err := a.stdout.Write(schema.JSON)
			return err
		},
	}
}

// explainCommand explains a field of the spec, like kubectl explain. It reads the schema, which is generated from
// the types' comments.
func (a *app) explainCommand() *cobra.Command {
	var recursive bool
	cmd := &cobra.Command{
		Use:     "explain [FIELD]",
		Short:   "Explain a field of the spec: meaning, type, default, range, an example",
		Example: "  rlb-agent explain\n  rlb-agent explain services.healthCheck\n  rlb-agent explain services.servers --recursive",
		Args:    atMost(1),
		RunE: func(_ *cobra.Command, args []string) error {
			root, err := schema.Fields()
			if err != nil {
				return err
			}
			path := ""
			if len(args) == 1 {
				path = schema.Clean(args[0])
			}
			f, err := root.At(path)
			if err != nil {
				return usageError{err}
			}
			return f.Explain(a.stdout, path, recursive)
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			root, err := schema.Fields()
			if err != nil || len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return root.Paths(""), cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().BoolVar(&recursive, "recursive", false, "print all fields below it, without their meaning")
	return cmd
}
