package specgen_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/hack/specgen"
)

// TestSpecsAreValid: every seed makes a spec that the language takes, and the same one each time.
func TestSpecsAreValid(t *testing.T) {
	for seed := range uint64(1000) {
		text := specgen.Text(seed)
		if again := specgen.Text(seed); again != text {
			t.Fatalf("seed %d makes two specs:\n%s\n%s", seed, text, again)
		}
		if _, err := api.Parse("spec.yaml", []byte(text)); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
	}
}

// TestSpecsDiffer: the values that matter to the programs come, each in some spec.
func TestSpecsDiffer(t *testing.T) {
	var all strings.Builder
	for seed := range uint64(200) {
		all.WriteString(specgen.Text(seed))
	}
	for _, value := range []string{"profile: classic", "name: rlb\n", "name: MASTER\n", "address: cp1.example.org", "type: none", "caFile: " + specgen.CAFile,
		"transport: unicast", "balance: first", "2001:db8:3::", "version: 3"} {
		if !strings.Contains(all.String(), value) {
			t.Errorf("no spec has %q", value)
		}
	}
	if reflect.DeepEqual(specgen.Text(1), specgen.Text(2)) {
		t.Error(fmt.Sprint("two seeds make the same spec: ", specgen.Text(1)))
	}
}
