package main

import (
	"bytes"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// licenseFile matches the names of files with the terms and notices that copies of a module must carry.
var licenseFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|copyright|patents)([-._].*)?$`)

// licenses writes the licenses of everything that the program contains besides the agent: the Go standard library and the
// modules. Most of them ask that copies in binary form carry their copyright notice.
func (t tree) licenses(agent string) error {
	info, err := buildinfo.ReadFile(agent)
	if err != nil {
		return fmt.Errorf("cannot read the modules of %s: %w", agent, err)
	}
	root, err := output(exec.Command("go", "env", "GOROOT"))
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := addLicenses(&b, "Go "+info.GoVersion, strings.TrimSpace(string(root))); err != nil {
		return err
	}
	list := []string{"list", "-m", "-f", "{{.Path}} {{.Version}}\t{{.Dir}}"}
	for _, module := range info.Deps {
		list = append(list, module.Path)
	}
	modules, err := output(exec.Command("go", list...))
	if err != nil {
		return err
	}
	for module := range strings.Lines(string(modules)) {
		name, dir, _ := strings.Cut(strings.TrimSpace(module), "\t")
		if err := addLicenses(&b, name, dir); err != nil {
			return err
		}
	}
	return t.compressed(doc+"third-party-licenses", b.Bytes())
}

// addLicenses adds the files of a directory that match licenseFile. A directory without any is an error.
func addLicenses(b *bytes.Buffer, name, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cannot find the license of %s: %w", name, err)
	}
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool { return e.IsDir() || !licenseFile.MatchString(e.Name()) })
	if len(entries) == 0 {
		return errors.New("cannot find the license of " + name + " in " + dir)
	}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return fmt.Errorf("cannot read the license of %s: %w", name, err)
		}
		heading := name + ": " + entry.Name()
		fmt.Fprintf(b, "%s\n%s\n\n%s\n\n", heading, strings.Repeat("=", len(heading)), bytes.TrimSpace(text))
	}
	return nil
}
