package faulty

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestEffect(t *testing.T) {
	log := filepath.Join(t.TempDir(), "effects")
	f, err := Parse("count:" + log + "; error:WriteFile /etc; error-once:ReloadUnit; error:5")
	if err != nil {
		t.Fatal(err)
	}
	own := errors.New("its own")
	for i, test := range []struct {
		name string
		does error
		want string
	}{
		{"WriteFile /etc/x", nil, "injected fault at WriteFile /etc/x"},
		{"WriteFile /run/x", nil, "<nil>"},
		{"ReloadUnit haproxy.service", nil, "injected fault at ReloadUnit haproxy.service"},
		{"ReloadUnit haproxy.service", own, own.Error()},
		{"StopUnit x", nil, "injected fault at StopUnit x"}, // the fifth
		{"StopUnit x", nil, "<nil>"},
	} {
		did := false
		err := f.Effect(test.name, nil, func() error { did = true; return test.does })
		if got := fmt.Sprint(err); got != test.want {
			t.Errorf("%d, %s: %s, want %s", i+1, test.name, got, test.want)
		}
		if injected := test.want != "<nil>" && test.does == nil; did == injected {
			t.Errorf("%d, %s: done %t", i+1, test.name, did)
		}
	}
	const want = "WriteFile /etc/x\nWriteFile /run/x\nReloadUnit haproxy.service\nReloadUnit haproxy.service\nStopUnit x\nStopUnit x\n"
	if got, err := os.ReadFile(log); err != nil || string(got) != want {
		t.Errorf("counted %q, %v", got, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"explode:1", "error", "torn:", "error:1;no"} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%q is no fault", text)
		}
	}
}
