// Command specdoc writes the manual's page on the spec: an introduction, and the reference from the comments of
// package api's types. Run it from the top of the repository: "make manual".
package main

import (
	_ "embed"
	"fmt"
	"os"
)

const (
	source = "api"
	page   = "cmd/rlb-agent/manual/spec.md"
)

//go:embed head.md
var head string

func main() {
	text, err := specPage(source)
	if err == nil {
		err = os.WriteFile(page, []byte(text), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "specdoc:", err)
		os.Exit(1)
	}
}

// specPage is the whole page, made from the Go files of a directory.
func specPage(dir string) (string, error) {
	types, err := readTypes(dir)
	if err != nil {
		return "", err
	}
	reference, err := types.reference("LoadBalancerSpec")
	if err != nil {
		return "", err
	}
	return head + "\n" + reference, nil
}
