package api

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// DefaultSchema is the path at which "make install" installs the JSON Schema of the spec.
const DefaultSchema = "/usr/local/share/rlb-agent/schema.json"

// Modeline returns the first line of specs that the agent writes. It names the path of the JSON Schema for editors.
func Modeline(schema string) string { return "# yaml-language-server: $schema=" + schema }

var (
	// plainScalar matches a word that YAML always reads as text, also within a flow mapping.
	plainScalar = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9._/-]*$`)
	// reservedScalars are plain words that some YAML parsers read as a boolean or null.
	reservedScalars = []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
)

// Scalar returns a text as a YAML scalar: unquoted if every YAML parser reads it as text, else as JSON, which is a
// subset of YAML.
func Scalar(text string) string {
	if plainScalar.MatchString(text) && !slices.Contains(reservedScalars, strings.ToLower(text)) {
		return text
	}
	bare, _, _ := strings.Cut(text, "/")
	if address, err := netip.ParseAddr(bare); err == nil && address.Is4() {
		if _, err := netip.ParsePrefix(text); err == nil || bare == text {
			return text
		}
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil { // cannot happen with a string
		return `""`
	}
	var escaped strings.Builder
	for _, c := range strings.TrimSuffix(b.String(), "\n") {
		if c >= 0x7f && c < 0xa0 || c == 0xfeff || c == 0xfffe || c == 0xffff { // JSON allows these unescaped, YAML does not
			fmt.Fprintf(&escaped, `\u%04x`, c)
			continue
		}
		escaped.WriteRune(c)
	}
	return escaped.String()
}
