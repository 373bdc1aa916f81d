package main

import (
	"os"
	"testing"
)

// maxBinary is the largest size of the stripped binary in bytes. Small machines keep it in memory.
const maxBinary = 14_000_000

// TestTheBinaryIsSmall: the most frequent cause of a failure is a new import that looks up a method by a name that
// the linker does not know, which keeps every method of every type. To find the function, search for ReflectMethod
// in the output of go build -ldflags=-dumpdep.
func TestTheBinaryIsSmall(t *testing.T) {
	binary := os.Getenv("RLB_AGENT")
	if binary == "" {
		t.Skip("RLB_AGENT names no binary: make test builds one")
	}
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > maxBinary {
		t.Errorf("%s has %d bytes, more than %d", binary, info.Size(), maxBinary)
	}
}
