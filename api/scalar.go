package api

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// DefaultSchema is where "make install" puts the JSON Schema of the spec.
const DefaultSchema = "/usr/local/share/rlb-agent/schema.json"

// Modeline is the first line of specs that the agent writes. It names the JSON Schema at that path for editors.
func Modeline(schema string) string { return "# yaml-language-server: $schema=" + schema }

var (
	// plainScalar is a word that YAML reads as text, and no other value, also within a flow mapping.
	plainScalar = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9._/-]*$`)
	// reservedScalars are plain words that some reader of YAML takes for a boolean or null.
	reservedScalars = []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
)

// Scalar is a text as a scalar of YAML: as it is where every reader takes it for a text, else as JSON, which YAML
// contains.
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
	if err := encoder.Encode(text); err != nil { // of a string there is none
		return `""`
	}
	var escaped strings.Builder
	for _, c := range strings.TrimSuffix(b.String(), "\n") {
		if c >= 0x7f && c < 0xa0 || c == 0xfeff || c == 0xfffe || c == 0xffff { // JSON has these as they are, YAML does not
			fmt.Fprintf(&escaped, `\u%04x`, c)
			continue
		}
		escaped.WriteRune(c)
	}
	return escaped.String()
}
