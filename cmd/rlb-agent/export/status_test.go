package export

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"rlb.dev/rlb-agent/reconcile/status"
)

// now is the time of the example.
var now = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// example returns a status with content in every field.
func example(t *testing.T) (s status.Status) {
	t.Helper()
	data, err := os.ReadFile("../../../reconcile/status/testdata/example.json")
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}
