// Package api is the spec language of rlb-agent: its types, its defaults and its rules.
//
// [Parse] turns the bytes of a spec file into a [LoadBalancerSpec] that has every default filled in and every
// rule checked, or into [yamlfile.Problems], all of them at once, each with its place in the file. Code that holds a
// LoadBalancerSpec made by Parse never checks it again.
package api
