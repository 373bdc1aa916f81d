// Package suggest finds what was meant by a misspelt name.
package suggest

import "github.com/spf13/cobra"

// Nearest are the names that a misspelt one most likely meant. cobra finds them, but only among commands.
func Nearest(name string, names []string) []string {
	index := &cobra.Command{SuggestionsMinimumDistance: 2}
	for _, known := range names {
		index.AddCommand(&cobra.Command{Use: known, Run: func(*cobra.Command, []string) {}})
	}
	return index.SuggestionsFor(name)
}
