package api

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// readNode reads the one document of a file. It returns nil where there is nothing to look into; the reason is
// then in the report.
func readNode(data []byte, found *report) *yaml.Node {
	if len(data) > MaxFileSize {
		found.add(place{1, 1}, "", "must be at most %d bytes", MaxFileSize)
		return nil
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
			found.addAlways(where, "", "%s", message)
			return nil
		}
		if len(node.Content) == 0 || isNull(node.Content[0]) {
			continue // an empty document, before or after the one that counts
		}
		if root != nil {
			found.addAlways(placeOf(node.Content[0]), "", "must be one document, got a second one")
			break
		}
		root = node.Content[0]
	}
	if root == nil {
		found.add(place{1, 1}, "", "must be a "+Kind+", got an empty file")
	}
	return root
}

var (
	lineOfError   = regexp.MustCompile(`^line (\d+): `)
	parserMessage = regexp.MustCompile(`^did not find expected (key|node content|'|<)`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// syntaxProblem finds the place that an error of the YAML parser speaks of.
func syntaxProblem(data []byte, err error) (where place, message string) {
	message = strings.TrimPrefix(err.Error(), "yaml: ")
	where = place{1, 1}
	if m := lineOfError.FindStringSubmatch(message); m != nil {
		where.line, _ = strconv.Atoi(m[1])
		message = message[len(m[0]):]
		if parserMessage.MatchString(message) {
			where.line++ // the parser, unlike the scanner, counts from 0
		}
	} else if m := unknownAnchor.FindStringSubmatch(message); m != nil {
		where = placeAt(data, bytes.Index(data, []byte("*"+m[1])))
	} else if i := unreadable(data); i >= 0 {
		where = placeAt(data, i)
	}
	if strings.HasSuffix(message, "alphabetic or numeric character") {
		message += ` after "*" or "&" (write "*" in quotes)`
	}
	return where, "not valid YAML: " + message
}

// unreadable is the offset of the first character that YAML does not take at all, or -1.
func unreadable(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if (r == utf8.RuneError && size == 1) || (r < ' ' && !strings.ContainsRune("\t\n\r", r)) || r == 0x7f {
			return i
		}
		i += size
	}
	return -1
}

func placeAt(data []byte, offset int) place {
	before := data[:max(0, offset)]
	start := bytes.LastIndexByte(before, '\n') + 1
	return place{bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[start:]) + 1}
}

func placeOf(n *yaml.Node) place { return place{max(1, n.Line), max(1, n.Column)} }

// resolve follows an alias to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }
