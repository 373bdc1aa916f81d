// Command man writes the pages of the manual as man pages: "make man". It is a separate program, so that the agent does
// not contain the converter.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"rlb.dev/rlb-agent/cmd/rlb-agent/manual"
)

func main() {
	dir := flag.String("dir", "dist/man", "the directory that gets man5, man7 and man8")
	version := flag.String("version", "", "the version that the pages name")
	flag.Parse()
	for _, page := range pages(manual.Topics()) {
		path := filepath.Join(*dir, "man"+page.section, page.file())
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, page.roff(*version), 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "man:", err)
			os.Exit(1)
		}
	}
}
