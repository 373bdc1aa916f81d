package filewatch

import (
	"os"
	"path/filepath"
	"testing"
)

func TestComplete(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "spec.yaml"), filepath.Join(dir, "link")
	if Complete(path) {
		t.Error("a file that is not there is complete")
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, link} {
		if Complete(p) {
			t.Errorf("%s is complete while somebody writes it", p)
		}
	}
	reader, err := os.Open(path) // open files of readers do not matter
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	f.Close()
	for _, p := range []string{path, link} {
		if !Complete(p) {
			t.Errorf("%s is not complete after it was closed", p)
		}
	}
	again, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal("the lease was not given back:", err)
	}
	again.Close()
}
