package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/cmd/rlb-agent/manual"
	"rlb.dev/rlb-agent/cmd/rlb-agent/suggest"
)

// helpCommand prints the help of a command or a page of the manual; without a name it lists both.
func (a *app) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND | TOPIC]",
		Short:   "Show the help of a command, or a page of the manual",
		Example: "  rlb-agent help status\n  rlb-agent help failover",
		Args:    cobra.ArbitraryArgs, // a command may have subcommands
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			if len(args) == 0 {
				if err := root.Help(); err != nil {
					return err
				}
				return listTopics(a.stdout)
			}
			if topic, ok := manual.Page(args[0]); ok && len(args) == 1 {
				_, err := io.WriteString(a.stdout, topic.Text)
				return err
			}
			if command, rest, err := root.Find(args); err == nil && command != root && len(rest) == 0 {
				return command.Help()
			}
			return usageError{unknownTopic(root, strings.Join(args, " "))}
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return helpNames(cmd.Root()), cobra.ShellCompDirectiveNoFileComp
		},
	}
}

func listTopics(w io.Writer) error {
	fmt.Fprintln(w, "\nTopics of the manual, for rlb-agent help TOPIC:")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, topic := range manual.Topics() {
		fmt.Fprintf(t, "  %s\t%s\n", topic.Name, topic.Title)
	}
	return t.Flush()
}

// unknownTopic suggests the nearest names.
func unknownTopic(root *cobra.Command, name string) error {
	if near := suggest.Nearest(name, helpNames(root)); len(near) > 0 {
		return fmt.Errorf("cannot find a command or topic %q: did you mean %s?", name, strings.Join(near, " or "))
	}
	return fmt.Errorf("cannot find a command or topic %q: rlb-agent help lists them", name)
}

// helpNames returns the names of the commands and the topics.
func helpNames(root *cobra.Command) []string {
	names := commandNames(root)
	for _, topic := range manual.Topics() {
		names = append(names, topic.Name)
	}
	return names
}
