package api_test

import (
	"fmt"
	"testing"

	"go.yaml.in/yaml/v3"

	"rlb.dev/rlb-agent/api"
)

// TestScalar: a YAML parser reads the scalar of every text back as the same text, also within a flow mapping.
func TestScalar(t *testing.T) {
	texts := []string{"", "a", "on", "No", "null", "~", "12", "1e3", "0x1f", "1.5", "192.0.2.1", "192.0.2.1/24", "192.0.2.1/", "2001:db8::1", "/readyz", "a b", "a: b", "a #b",
		"*", "&a", "!a", "{a}", "[a", "a, b", "'", `"`, `\`, "a\nb", "<>&", "2001-01-01", "=", "<<", "30s", "-", "---", "é", "\u2028"}
	for c := range rune(0x10000 + 100) {
		if c < 0xd800 || c > 0xdfff {
			texts = append(texts, "x"+string(c))
		}
	}
	for _, text := range texts {
		var got map[string]any
		err := yaml.Unmarshal([]byte(fmt.Sprintf("{a: %s, b: 1}", api.Scalar(text))), &got)
		if err != nil || got["a"] != text {
			t.Errorf("%q is written as %s and read as %v (%v)", text, api.Scalar(text), got["a"], err)
		}
	}
}
