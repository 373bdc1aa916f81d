// Package suggest finds the right name for a misspelt one.
package suggest

import "github.com/spf13/cobra"

// Nearest returns the names closest to a misspelt one. It uses cobra's search, which works on commands
// only.
func Nearest(name string, names []string) []string {
	index := &cobra.Command{SuggestionsMinimumDistance: 2}
	for _, known := range names {
		index.AddCommand(&cobra.Command{Use: known, Run: func(*cobra.Command, []string) {}})
	}
	return index.SuggestionsFor(name)
}
