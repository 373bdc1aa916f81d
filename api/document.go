package api

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"rlb.dev/rlb-agent/api/yamlfile"
)

// Document is a spec, together with the places of its fields in the file.
type Document struct {
	// Spec has every default filled in and has passed every rule.
	Spec LoadBalancerSpec
	// File is the name that was passed to Parse.
	File string
	// Data are the file's bytes.
	Data []byte
	// Digest is the SHA-256 of the file's bytes, in hexadecimal.
	Digest string

	root *yamlfile.Tree
	text yamlfile.Text
}

// Parse reads a spec file. file is its name in messages. The error is of type Problems and holds all problems of the
// file.
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

// check checks the spec against the rules, and fills in the defaults.
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

// Problem returns a problem of a field, at the place of the field in the file or of its nearest parent. It is for
// problems that are found later, on the host.
func (d *Document) Problem(path, format string, args ...any) yamlfile.Problem {
	where, path := d.locate(path)
	return yamlfile.ProblemAt(d.File, d.text, where, path, fmt.Sprintf(format, args...))
}

// given reports whether the file has a field.
func (d *Document) given(path string) bool {
	_, rest := d.root.Find(path)
	return rest == ""
}

// locate returns the place of a field in the file, or of its nearest parent, and the path as the file has it: if a
// virtual IP is written without a mapping, the path of its address is that of the virtual IP.
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
