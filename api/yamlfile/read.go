package yamlfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"unicode/utf16"

	"go.yaml.in/yaml/v3"
)

// ReadAll reads a spec file. Of a file larger than MaxFileSize it reads one byte more than that, so that Parse reports
// the size.
func ReadAll(r io.Reader) ([]byte, error) { return io.ReadAll(io.LimitReader(r, MaxFileSize+1)) }

// MaxFileSize is the size of the largest file that Parse accepts, in bytes.
const MaxFileSize = 8 << 20

// UTF8 returns the content of a file in UTF-8. Editors on Windows also write UTF-16, which begins with a byte order mark.
func UTF8(data []byte) []byte {
	var order binary.ByteOrder = binary.BigEndian
	switch {
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}):
		order = binary.LittleEndian
	case !bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		return data
	}
	if len(data)%2 != 0 { // truncated: the parser reports it
		return data
	}
	units := make([]uint16, 0, len(data)/2)
	for i := 2; i < len(data); i += 2 {
		units = append(units, order.Uint16(data[i:]))
	}
	return []byte(string(utf16.Decode(units)))
}

// ReadNode reads the only document of a file. kind is the kind of the document, for a message about an empty file.
// ReadNode returns nil if there is nothing to check; the reason is then in the report.
func ReadNode(data []byte, kind string, found *Report) *yaml.Node {
	if len(data) > MaxFileSize {
		found.Add(Start, "", "must be at most %d bytes", MaxFileSize)
		return nil
	}
	for _, r := range "\u0085\u2028\u2029" { // line breaks of YAML 1.1, but not of YAML 1.2 and of most editors
		if at := bytes.IndexRune(data, r); at >= 0 {
			found.AddAlways(placeAt(data, at), "", "must not hold %s: YAML ends the line there, and editors do not", OddName(r))
			return nil
		}
	}
	var root *yaml.Node
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var node yaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			where, message := syntaxProblem(data, err)
			found.AddAlways(where, "", "%s", message)
			return nil
		}
		if len(node.Content) == 0 || IsNull(node.Content[0]) {
			continue // an empty document is allowed before and after the other one
		}
		if root != nil {
			found.AddAlways(PlaceOf(node.Content[0]), "", "must be one document, got a second one")
			break
		}
		root = node.Content[0]
	}
	if root == nil {
		found.Add(Start, "", "must be a %s, got an empty file", kind)
	}
	return root
}
