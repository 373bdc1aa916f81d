// Package textrule has the rules for single texts of the spec: names, paths, addresses. Each rule returns what a text must
// be, or "" if the text is valid.
package textrule
