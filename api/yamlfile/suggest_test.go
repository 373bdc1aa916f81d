package yamlfile

import (
	"strings"
	"testing"
)

func TestSuggest(t *testing.T) {
	known := []string{"name", "address", "port", "weight", "backup", "maxConnections"}
	for unknown, want := range map[string]string{
		"adress": "address", "addresses": "address", "PORT": "port", "prot": "port", "ports": "port", "nmae": "name", "mConn": "maxConnections",
		"maxconn": "maxConnections", "mxcn": "maxConnections", "wait": "", "add": "", "baup": "backup", "max_connections": "maxConnections", "mode": "", "x": "", "": "", "wieght": "weight", "cookie": "",
		strings.Repeat("name", 1000): "",
	} {
		if got := Suggest(unknown, known); got != want {
			t.Errorf("%s: got %q, want %q", unknown, got, want)
		}
	}
	if got := Suggest("timeo", []string{"timeoutConnect", "timeoutClient", "port"}); got != "" {
		t.Errorf("of two %q is taken", got)
	}
}
