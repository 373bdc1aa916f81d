package main

import "github.com/spf13/cobra"

// nearest are the names that a misspelt one most likely meant. cobra finds them, but only among commands.
func nearest(name string, names []string) []string {
	index := &cobra.Command{SuggestionsMinimumDistance: 2}
	for _, known := range names {
		index.AddCommand(&cobra.Command{Use: known, Run: func(*cobra.Command, []string) {}})
	}
	return index.SuggestionsFor(name)
}

// commandNames are the commands of cmd that its help lists.
func commandNames(cmd *cobra.Command) []string {
	var names []string
	for _, command := range cmd.Commands() {
		if command.IsAvailableCommand() {
			names = append(names, command.Name())
		}
	}
	return names
}
