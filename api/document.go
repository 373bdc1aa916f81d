package api

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"rlb.dev/rlb-agent/api/yamlfile"
)

// Document is a spec with its places in the file that it was read from.
type Document struct {
	// Spec has every default filled in, and keeps every rule of the language.
	Spec LoadBalancerSpec
	// File is the name that Parse was given.
	File string
	// Data are the file's bytes.
	Data []byte
	// Digest is the SHA-256 of the file's bytes, in hexadecimal.
	Digest string

	root *yamlfile.Tree
	text yamlfile.Text
}

// Parse reads a spec file. The error is of type Problems and holds all that is wrong with the file; file is the
// name that it is called by.
func Parse(file string, data []byte) (*Document, error) {
	sum := sha256.Sum256(data)
	text := yamlfile.UTF8(data)
	doc := &Document{File: file, Data: data, Digest: hex.EncodeToString(sum[:]), text: yamlfile.NewText(text)}
	found := yamlfile.NewReport(file)
	if node := yamlfile.ReadNode(text, Kind, found); node != nil {
		doc.root = walkTree(node, &doc.Spec, found)
	}
	if doc.root != nil && !found.Full() {
		doc.check(found)
	}
	if problems := found.Sorted(doc.text); len(problems) > 0 {
		return nil, problems
	}
	return doc, nil
}

// check holds the spec against the rules, and fills in the defaults.
func (d *Document) check(found *yamlfile.Report) {
	checkFields(d, found)
	if !found.Sound("profile") {
		d.Spec.Profile = ""
	}
	d.Spec.SetDefaults()
	if !found.Full() {
		checkRules(d, found)
	}
}

// Problem is a problem of a field, at its place in the file or at that of its nearest parent. It is for what is
// found later, on the host.
func (d *Document) Problem(path, format string, args ...any) yamlfile.Problem {
	where, path := d.locate(path)
	return yamlfile.ProblemAt(d.File, d.text, where, path, fmt.Sprintf(format, args...))
}

// given tells whether a field stands in the file.
func (d *Document) given(path string) bool {
	_, rest := d.root.Find(path)
	return rest == ""
}

// locate is the place of a field in the file, or of its nearest parent, and the path as the file has it: the address
// of a virtual IP that is written without a mapping is the virtual IP.
func (d *Document) locate(path string) (yamlfile.Place, string) {
	if d.root == nil {
		return yamlfile.Start, path
	}
	found, rest := d.root.Find(path)
	switch {
	case found.Kind == yamlfile.BlockTree && rest != "":
		return d.text.RawLineAt(found, rest), path
	case found.Kind == yamlfile.ScalarTree:
		path = strings.TrimSuffix(path, rest)
	}
	return found.Place, path
}
