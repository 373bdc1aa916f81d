package api

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// MaxFileSize is the largest spec file that Parse takes, in bytes.
const MaxFileSize = 8 << 20

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

	root   *tree
	starts []int32 // of the lines
}

// Parse reads a spec file. The error is of type Problems and holds all that is wrong with the file; file is the
// name that it is called by.
func Parse(file string, data []byte) (*Document, error) {
	sum := sha256.Sum256(data)
	doc := &Document{File: file, Data: data, Digest: hex.EncodeToString(sum[:]), starts: lineStarts(data)}
	found := newReport(file)
	if node := readNode(data, found); node != nil {
		doc.root = walkTree(node, &doc.Spec, found)
	}
	if doc.root != nil && !found.full() {
		doc.check(found)
	}
	if problems := found.sorted(doc.line); len(problems) > 0 {
		return nil, problems
	}
	return doc, nil
}

// check holds the spec against the rules, and fills in the defaults.
func (d *Document) check(found *report) {
	checkFields(d, found)
	if !found.sound("profile") {
		d.Spec.Profile = ""
	}
	d.Spec.SetDefaults()
	if !found.full() {
		checkRules(d, found)
	}
}

// Problem is a problem of a field, at its place in the file or at that of its nearest parent. It is for what is
// found later, on the host.
func (d *Document) Problem(path, format string, args ...any) Problem {
	where, path := d.locate(path)
	return Problem{
		File: d.File, Line: where.line, Column: where.column, Path: path, Message: fmt.Sprintf(format, args...),
		line: excerptable(d.line(where.line)),
	}
}

// given tells whether a field stands in the file.
func (d *Document) given(path string) bool {
	_, rest := d.root.find(path)
	return rest == ""
}

// locate is the place of a field in the file, or of its nearest parent, and the path as the file has it: the address
// of a virtual IP that is written without a mapping is the virtual IP.
func (d *Document) locate(path string) (place, string) {
	if d.root == nil {
		return place{1, 1}, path
	}
	found, rest := d.root.find(path)
	switch {
	case found.kind == blockTree && rest != "":
		return d.rawLineAt(found, rest), path
	case found.kind == scalarTree:
		path = strings.TrimSuffix(path, rest)
	}
	return found.place, path
}
