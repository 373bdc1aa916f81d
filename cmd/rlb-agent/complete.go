package main

import (
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// formats are what -o takes, by command.
var formats = map[string][]string{
	"status": {"text", "wide", "json", "yaml"}, "events": {"text", "json"}, "doctor": {"text", "json"}, "version": {"text", "json", "yaml"},
}

// addCompletion adds cobra's own command, and has it refuse words as the other commands do.
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

// completeFlags has the shell offer values for flags: hosts and nodes of the spec, formats, levels.
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
			_ = cmd.RegisterFlagCompletionFunc(name, offer) // fails for what has one already
		}
	}
	for _, child := range cmd.Commands() {
		a.completeFlags(child)
	}
}

// offerHosts are the addresses of the spec's nodes, for ssh: of the file that push has, else of the spec in use. Several are
// given with commas between them, each once, with or without user@ before it.
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

// nodes are the names of the spec's nodes, each with its first address; none where the spec cannot be read.
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
