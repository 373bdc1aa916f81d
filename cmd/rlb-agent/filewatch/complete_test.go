package filewatch

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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

// TestCompleteFIFO: a FIFO in place of the file does not block the daemon until somebody writes to it.
func TestCompleteFIFO(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spec.yaml")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	answer := make(chan bool, 1)
	go func() { answer <- Complete(path) }()
	select {
	case complete := <-answer:
		if complete {
			t.Error("a FIFO is complete")
		}
	case <-time.After(5 * time.Second):
		t.Error("it blocks")
	}
}
