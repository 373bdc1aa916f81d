package systemd

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseEnvironment(t *testing.T) {
	for text, want := range map[string]map[string]string{
		"":                              {},
		"A=b":                           {"A": "b"},
		"A=b\nA=c\n":                    {"A": "c"},
		"A=\nB=x\n":                     {"A": "", "B": "x"},
		"# A=b\n;B=c\n\n  # C=d\nD=e\n": {"D": "e"},
		"  A = b c  \n":                 {"A": "b c"},
		"A=\"b  c \"\n":                 {"A": "b  c "},
		"A='b \"c\" $d \\n'\n":          {"A": `b "c" $d \n`},
		"A=\"b \\\"c\\\" \\$d \\n\"\n":  {"A": `b "c" $d \n`},
		"A=b\\\nc\nB=d\n":               {"A": "bc", "B": "d"},
		"A=\"b\\\nc\nd\"\n":             {"A": "bc\nd"},
		"A=b\\ \n":                      {"A": "b "},
		"A=b # c\n":                     {"A": "b # c"},
		"A='b'\"c\"\n":                  {"A": "bc"},
		"A=b'c'\n":                      {"A": "b'c'"},
		"no assignment\nA=b\n":          {"A": "b"},
		"export A=b\n1A=b\nB_1=c\n":     {"B_1": "c"},
		"A=b\r\nB=c\r\n":                {"A": "b", "B": "c"},
		"A='not ended\n":                {"A": "not ended\n"},
		"A=b=c\n":                       {"A": "b=c"},
	} {
		if diff := cmp.Diff(want, parseEnvironment(text)); diff != "" {
			t.Errorf("%q:\n%s", text, diff)
		}
	}
}

func TestUnitEnvironment(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("haproxy", "# Change the config file location if needed\n#CONFIG=\"/etc/haproxy/haproxy.cfg\"\n\nEXTRAOPTS=\"-de -m 16\"\n")
	write("a.conf", "A=from a\nB=from a\n")
	write("b.conf", "B=from b\n")
	got, err := environmentOf(
		[]string{"CONFIG=/etc/haproxy/haproxy.cfg", "EXTRAOPTS=-S /run/haproxy-master.sock", "A=x"},
		[]environmentFile{{path: dir + "/haproxy", optional: true}, {path: dir + "/*.conf"}, {path: dir + "/missing", optional: true}})
	want := map[string]string{"CONFIG": "/etc/haproxy/haproxy.cfg", "EXTRAOPTS": "-de -m 16", "A": "from a", "B": "from b"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := environmentOf(nil, []environmentFile{{path: dir}}); err == nil {
		t.Error("a directory passes for a file")
	}
	got, err = environmentOf([]string{"A=x"}, []environmentFile{{path: dir, optional: true}, {path: dir + "/b.conf"}})
	if diff := cmp.Diff(map[string]string{"A": "x", "B": "from b"}, got); err != nil || diff != "" {
		t.Errorf("an optional file that cannot be read, which systemd ignores: %v\n%s", err, diff)
	}
}
