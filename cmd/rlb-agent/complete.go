package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/api/yamlfile"
)

// formats are the values of -o, by command.
var formats = map[string][]string{
	"status": {"text", "wide", "json", "yaml"}, "events": {"text", "json"}, "doctor": {"text", "json"}, "version": {"text", "json", "yaml"},
}

// knownFormat refuses a value of -o that the command does not have. what names what it prints.
func knownFormat(cmd *cobra.Command, what, format string) error {
	if known := formats[cmd.Name()]; !slices.Contains(known, format) {
		return usageError{fmt.Errorf("cannot print %s as %q: it is %s", what, format, yamlfile.Either(known))}
	}
	return nil
}

// addCompletion adds cobra's completion command. Like the other commands it refuses surplus arguments.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		cmd.Args, cmd.RunE = atMost(0), func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		cmd.Example = "  rlb-agent completion bash"
		for _, shell := range cmd.Commands() {
			shell.Args, shell.Example = atMost(0), "  rlb-agent completion "+shell.Name()
		}
	}
}

// completeFlags offers the shell values for flags: hosts and nodes of the spec, formats, levels.
func (a *app) completeFlags(cmd *cobra.Command) {
	fixed := func(values ...string) cobra.CompletionFunc {
		return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
	}
	offered := map[string]cobra.CompletionFunc{
		"on": a.offerHosts, "node": a.offerNodes, "output": fixed(formats[cmd.Name()]...),
		"log-level": fixed("debug", "info", "warn", "error"), "log-format": fixed("text", "json", "journal"),
	}
	for name, offer := range offered {
		if cmd.LocalFlags().Lookup(name) != nil {
			_ = cmd.RegisterFlagCompletionFunc(name, offer) // fails if the flag has a function already
		}
	}
	for _, child := range cmd.Commands() {
		a.completeFlags(child)
	}
}

// offerHosts offers the first address of each node, for ssh. The nodes come from the file of push, else from the spec
// in use. given may list several hosts with commas between them, each with or without user@; an address that it has is
// not offered again.
func (a *app) offerHosts(cmd *cobra.Command, args []string, given string) (all []cobra.Completion, _ cobra.ShellCompDirective) {
	if cmd.Name() == "push" && len(args) == 1 {
		a.spec = args[0]
	}
	before := given[:strings.LastIndexAny(given, ",@")+1]
	named := strings.FieldsFunc(before, func(r rune) bool { return r == ',' || r == '@' })
	for name, address := range a.nodes() {
		if !slices.Contains(named, address) {
			all = append(all, cobra.CompletionWithDesc(before+address, name))
		}
	}
	return all, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) offerNodes(*cobra.Command, []string, string) (all []cobra.Completion, _ cobra.ShellCompDirective) {
	for name := range a.nodes() {
		all = append(all, name)
	}
	return all, cobra.ShellCompDirectiveNoFileComp
}

// nodes returns the first address of each node of the spec by its name; nil if the spec cannot be read.
func (a *app) nodes() map[string]string {
	a.log = slog.New(slog.DiscardHandler)
	doc, err := a.readSpec(a.spec)
	if err != nil {
		return nil
	}
	all := map[string]string{}
	for _, n := range doc.Spec.Nodes {
		all[n.Name] = n.Addrs()[0].String()
	}
	return all
}
