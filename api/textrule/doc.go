// Package textrule has the rules of single texts of the spec: names, paths, addresses. Each rule says what a text must be,
// or "" where it is that.
package textrule
