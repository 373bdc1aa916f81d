package importer_test

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aymanbagabas/go-udiff"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/importer"
)

var update = flag.Bool("update", false, "write the golden files")

// foreign returns the files under testdata that the agent did not render, by folder.
func foreign(t testing.TB) map[string][2]importer.File {
	t.Helper()
	dirs, err := filepath.Glob("testdata/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no files: %v", err)
	}
	all := map[string][2]importer.File{}
	for _, dir := range dirs {
		if filepath.Base(dir) == "fuzz" {
			continue
		}
		var files [2]importer.File
		for i, name := range []string{"haproxy.cfg", "keepalived.conf"} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			files[i] = importer.File{Name: name, Data: data}
		}
		all[filepath.Base(dir)] = files
	}
	return all
}

// report returns what a user reads in addition to the spec: what is not carried over, what the files cannot show, and the
// problems of the spec.
func report(result importer.Result) string {
	var b strings.Builder
	for _, note := range result.Notes {
		b.WriteString(note + "\n")
	}
	for _, field := range result.Unshown {
		b.WriteString("not in the files: " + field + "\n")
	}
	if _, err := api.Parse("spec.yaml", []byte(result.Text)); err != nil {
		b.WriteString(err.Error() + "\n")
	}
	return b.String()
}

// TestForeignFiles compares the specs and reports of foreign files with golden files. -update writes the golden files.
func TestForeignFiles(t *testing.T) {
	for name, files := range foreign(t) {
		t.Run(name, func(t *testing.T) {
			result := importer.Import(files[0], files[1], importer.Options{})
			for file, got := range map[string]string{"spec.yaml": result.Text, "report.txt": report(result)} {
				path := filepath.Join("testdata", name, file)
				if *update {
					if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(path)
				if diff := udiff.Unified(path, "imported", string(want), got); err != nil || diff != "" {
					t.Errorf("%v (-update writes it)\n%s", err, diff)
				}
			}
		})
	}
}

// TestSchemaOfTheInstallation: the first line names the schema that was installed with the program.
func TestSchemaOfTheInstallation(t *testing.T) {
	result := importer.Import(importer.File{Name: "h", Data: []byte("listen l\n")}, importer.File{}, importer.Options{Schema: "/usr/share/x.json"})
	if !strings.HasPrefix(result.Text, api.Modeline("/usr/share/x.json")+"\n") {
		t.Error(result.Text)
	}
}
