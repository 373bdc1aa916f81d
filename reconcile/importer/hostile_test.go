package importer_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/api/yamlfile"
	"rlb.dev/rlb-agent/reconcile/importer"
)

// keys are the fields at the top level of an imported spec. Any other field means that a value has broken out of its quotes.
var keys = []string{"apiVersion", "kind", "profile", "virtualIPs", "nodes", "vrrp", "services", "proxy"}

// sound checks every import: the text has the form of a spec, and no line contains control characters for a terminal.
func sound(t *testing.T, result importer.Result) {
	t.Helper()
	for line := range strings.Lines(result.Text) {
		key, _, _ := strings.Cut(line, ":")
		known := key[0] == ' ' || key[0] == '#' || key[0] == '\n' || key[0] == '-'
		for _, name := range keys {
			known = known || key == name
		}
		if !known {
			t.Fatalf("a line of its own: %q in\n%s", line, result.Text)
		}
	}
	_, err := api.Parse("spec.yaml", []byte(result.Text))
	if problems := (yamlfile.Problems)(nil); errors.As(err, &problems) {
		for _, p := range problems {
			if strings.Contains(p.Message, "unknown field") || strings.Contains(p.Message, "given twice") || strings.Contains(p.Message, "YAML") {
				t.Fatalf("%v\n%s", p, result.Text)
			}
		}
	}
	for _, note := range result.Notes {
		if strings.ContainsFunc(note, unicode.IsControl) || len(note) > 1000 {
			t.Fatalf("%q", note)
		}
	}
}

func FuzzImport(f *testing.F) {
	for _, files := range foreign(f) {
		f.Add(files[0].Data, files[1].Data)
	}
	f.Add([]byte("frontend a\nbind :1\nuse_backend b if { req.ssl_sni -i x.y. }\nuse_backend c if { req.ssl_sni -m end .y }\ndefault_backend b\nbackend b\nserver s h.:1\nbackend c\nserver s h:1\n"), []byte("$A=x\n$B=\"\\\nvrrp_instance ${A} {\ninterface $B\n}"))
	f.Add([]byte("listen a\nbind :1\nserver \"x\\n- y\" 1.1.1.1:1 check inter 1\nserver a\\\"b: {} 1.1.1.1:1\n"), []byte("vrrp_instance \"a\nb: c\" {\ninterface \"x: y\"\n}"))
	f.Fuzz(func(t *testing.T, haproxy, keepalived []byte) {
		sound(t, importer.Import(importer.File{Name: "h", Data: haproxy}, importer.File{Name: "k", Data: keepalived}, importer.Options{}))
		mine := []byte("# Rendered by rlb-agent \n")
		sound(t, importer.Import(importer.File{Name: "h", Data: append(mine, haproxy...)}, importer.File{Name: "k", Data: append(mine, keepalived...)}, importer.Options{}))
	})
}

// TestValuesStayValues: no text in a value of the files can end the value or its line in the spec.
func TestValuesStayValues(t *testing.T) {
	haproxy := "global\n    lua-load \"x\\\"\" # y: z\nlisten \"a: b\"\n bind :80 name x\n server \"s}, {name: t\" 192.0.2.1:80 check id 7 source '0.0.0.0 \"\\n'\n"
	keepalived := "vrrp_instance \"V\nmetadata: x\" {\n interface \"eth0}\"\n garp_master_delay 1 \"}\n virtual_ipaddress {\n 192.0.2.9\n }\n}\n"
	result := importer.Import(importer.File{Name: "h\x1b[2J", Data: []byte(haproxy)}, importer.File{Name: "k\nk", Data: []byte(keepalived)}, importer.Options{})
	sound(t, result)
	for _, want := range []string{"name: a--b", "name: s----name--t"} {
		if !strings.Contains(result.Text, want) {
			t.Errorf("no %q in\n%s", want, result.Text)
		}
	}
}

// TestPasswordsStay: neither the spec nor the report contains the secrets of the foreign files.
func TestPasswordsStay(t *testing.T) {
	for name, files := range foreign(t) {
		result := importer.Import(files[0], files[1], importer.Options{})
		for _, secret := range []string{"k8s-secret", "topsecret"} {
			if strings.Contains(result.Text+report(result), secret) {
				t.Errorf("%s: %s is told", name, secret)
			}
		}
	}
}

// TestLargeFiles: an import of a large file ends within seconds for any content.
func TestLargeFiles(t *testing.T) {
	fill := func(head, line string) []byte { return []byte(head + strings.Repeat(line, (2<<20)/len(line))) }
	many := strings.Repeat("frontend f\nbind :80\ndefault_backend b\n", 2000)
	for name, haproxy := range map[string][]byte{
		"servers":   fill("listen l\nbind :80\n", "server s 192.0.2.1:80 check\n"),
		"shared":    fill(many+"backend b\n", "server s 192.0.2.1:80 check\n"),
		"listens":   fill("", "listen l\nbind :80\nserver s 192.0.2.1:80\n"),
		"defaults":  fill("", "defaults d from d\nretries 1\n"),
		"inherited": append(fill("defaults\n", "option x\n"), many...),
		"binds":     fill("listen l\nbind ", ":80,"),
		"ports":     fill("listen l\n", "bind :81\nbind :82\nbind :83\n"),
		"acls":      fill("frontend l\nbind :80\nacl a req.ssl_sni -i a b c\n", "use_backend b if a or a or a\n"),
		"names":     fill("frontend l\nbind :80\n", "use_backend b if { req.ssl_sni -i "+strings.Repeat("a.", 120)+"b }\n"),
		"long name": fill("frontend l\nbind :80\nuse_backend b if a\nacl a req.ssl_sni -i x", ".a"),
		"words":     fill("listen l\nbind :80\nserver s 192.0.2.1:80 check ", "id 7 "),
		"raw":       fill("listen l\nbind :80\nserver s 192.0.2.1:80\n", "stick on src\n"),
		"http":      fill("listen l\nbind :80\nserver s 192.0.2.1:80\n", "redirect x\n"),
	} {
		t.Run(name, func(t *testing.T) {
			began := busy(t)
			result := importer.Import(importer.File{Name: "h", Data: haproxy}, importer.File{Name: "k", Data: fill("", "vrrp_instance a {\nvirtual_ipaddress {\n192.0.2.1\n}\n")}, importer.Options{})
			if took := busy(t) - began; took > 20*time.Second {
				t.Errorf("it took %v", took)
			} else {
				t.Log(took)
			}
			sound(t, result)
		})
	}
}

// busy returns the user CPU time of this process, which does not depend on the load by other processes.
func busy(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano())
}
