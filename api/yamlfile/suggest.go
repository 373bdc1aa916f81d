package yamlfile

import (
	"slices"
	"strings"
)

// Suggest returns the known name that the author of the unknown name most likely meant, or "".
func Suggest(unknown string, known []string) string {
	if len(unknown) > 64 {
		return ""
	}
	lower := strings.ToLower(unknown)
	best, bestDistance := "", 1+allowance(len(unknown))
	for _, name := range known {
		if d := distance(lower, strings.ToLower(name)); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	if best != "" || len(unknown) < 4 {
		return best
	}
	for _, name := range known {
		if !abbreviates(lower, strings.ToLower(name)) {
			continue
		}
		if best != "" {
			return "" // it may be either
		}
		best = name
	}
	return best
}

// abbreviates reports whether short consists of letters of name in their order, and begins with the same letter.
func abbreviates(short, name string) bool {
	if short[0] != name[0] {
		return false
	}
	for i := range len(name) {
		if short != "" && name[i] == short[0] {
			short = short[1:]
		}
	}
	return short == ""
}

// allowance returns how many typing errors Suggest allows in a name of this length.
func allowance(length int) int { return min(3, (length+1)/3) }

// distance returns how many insertions, deletions, replacements and swaps of neighbouring letters turn a into b
// (optimal string alignment).
func distance(a, b string) int {
	var beforeLast []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			replace := last[j]
			if a[i] != b[j] {
				replace++
			}
			row[j+1] = slices.Min([]int{replace, last[j+1] + 1, row[j] + 1})
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], beforeLast[j-1]+1)
			}
		}
		beforeLast, last = last, row
	}
	return last[len(b)]
}
