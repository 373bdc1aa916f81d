package schema

import (
	"strings"
	"testing"
)

// TestEveryFieldIsExplained: every field of the spec has a description, and every field with a value has an example.
func TestEveryFieldIsExplained(t *testing.T) {
	root, err := Fields()
	if err != nil {
		t.Fatal(err)
	}
	paths := root.Paths("")
	if len(paths) < 80 {
		t.Errorf("only %d fields: %v", len(paths), paths)
	}
	for _, path := range paths {
		f, err := root.At(path)
		if err != nil {
			t.Error(err)
			continue
		}
		var b strings.Builder
		if err := f.Explain(&b, path, false); err != nil {
			t.Error(err)
		}
		if meaning, _ := f.meaning(); meaning == "" || f.kind() == "" {
			t.Errorf("%s:\n%s", path, b.String())
		}
		if len(f.object().Properties.names) == 0 && !strings.Contains(b.String(), "EXAMPLE:") {
			t.Errorf("%s has no example:\n%s", path, b.String())
		}
	}
}

// TestExplainFinds: fields are listed in the order of the types, with their ranges. A misspelt name, or one without its
// path, leads to the field.
func TestExplainFinds(t *testing.T) {
	root, err := Fields()
	if err != nil {
		t.Fatal(err)
	}
	if paths := strings.Join(root.Paths(""), " "); !strings.HasPrefix(paths, "apiVersion kind metadata metadata.name ") {
		t.Errorf("not in the order of the types: %s", paths)
	}
	var b strings.Builder
	services, err := root.At("services")
	if err != nil {
		t.Fatal(err)
	}
	if err := services.Explain(&b, "services", false); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"port <integer> required, 1 to 65535", "balance <string>, roundrobin, leastconn, source, static-rr, first, default roundrobin",
		"bind <string or list of string>, 1 to 50 entries", "RANGE:    1 to 1000 entries"} {
		if !strings.Contains(b.String(), line) {
			t.Errorf("no %q in:\n%s", line, b.String())
		}
	}
	for path, hint := range map[string]string{
		"servces":               "did you mean services?",
		"services.helthCheck":   "did you mean services.healthCheck?",
		"healthCheck":           "did you mean services.healthCheck?",
		"services.preemptDelay": "did you mean vrrp.preemptDelay?",
		"services.nonsense":     "rlb-agent explain --recursive lists all fields",
	} {
		if _, err := root.At(path); err == nil || !strings.HasSuffix(err.Error(), hint) {
			t.Errorf("%s: got %v, want %s", path, err, hint)
		}
	}
}
