// Package record stores measurements of benchmarks in files, so that several runs can be judged as
// one.
package record

import (
	"encoding/json"
	"fmt"
	"os"
)

// Write writes measurements as JSON.
func Write(path string, measured any) error {
	data, err := json.MarshalIndent(measured, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// Read reads these files, which Write wrote.
func Read[T any](paths []string) (all []T, err error) {
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var one T
		if err := json.Unmarshal(data, &one); err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", path, err)
		}
		all = append(all, one)
	}
	return all, nil
}
