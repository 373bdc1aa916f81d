package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/api/yamlfile"
	"rlb.dev/rlb-agent/cmd/rlb-agent/daemon"
	"rlb.dev/rlb-agent/reconcile/host/rootpath"
)

// readSpec reads and parses the spec; "-" is standard input.
func (a *app) readSpec(path string) (*api.Document, error) {
	data, err := a.input(path)
	if err != nil {
		return nil, specError{untrusted(path, err)}
	}
	return parse(path, data)
}

// parse parses a spec; it first limits the memory of this process.
func parse(path string, data []byte) (*api.Document, error) {
	daemon.SaveMemory(len(data))
	return api.Parse(path, data)
}

// input reads a file; "-" is standard input.
func (a *app) input(path string) ([]byte, error) {
	if path == "-" {
		return yamlfile.ReadAll(a.stdin)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	return yamlfile.ReadAll(file)
}

// fileOrSpec returns the file argument, or else the spec. It refuses both together.
func (a *app) fileOrSpec(cmd *cobra.Command, args []string) (string, error) {
	switch {
	case len(args) == 0:
		return a.spec, nil
	case cmd.Flags().Changed("spec"):
		return "", usageError{fmt.Errorf("cannot %s two files, %s and --spec %s: give one of them", cmd.Name(), args[0], a.spec)}
	}
	return args[0], nil
}

// specName returns how messages name the spec.
func specName(path string) string {
	if path == "-" {
		return "a spec from standard input"
	}
	return path
}

// trustedSpec reads the spec for a run that acts on it as root: it refuses a file that others may write.
func (a *app) trustedSpec() (*api.Document, error) {
	if a.spec == "-" {
		return nil, usageError{errors.New("cannot apply a spec from standard input: give a file with --spec")}
	}
	return trusted(a.spec)
}

// trusted reads and parses a spec that only root may write or redirect. It reads the file that it checked, not the
// path again.
func trusted(path string) (*api.Document, error) {
	file, err := rootpath.Walker{}.Open(path)
	if err != nil {
		return nil, specError{untrusted(path, err)}
	}
	defer file.Close() //nolint:errcheck // nothing was written
	data, err := yamlfile.ReadAll(file)
	if err != nil {
		return nil, specError{fmt.Errorf("cannot read the spec: %w", err)}
	}
	return parse(path, data)
}

// replaceable returns nil if only root can change where a spec is written. The spec need not exist.
func replaceable(path string) error {
	if _, err := (rootpath.Walker{}).Resolve(path); err != nil {
		return specError{untrusted(path, err)}
	}
	return nil
}

func untrusted(path string, err error) error {
	if others := (*rootpath.Error)(nil); errors.As(err, &others) {
		return fmt.Errorf("cannot trust the spec %s: %w", path, err)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot read the spec: %w; rlb-agent init writes a first one, rlb-agent import makes one of installed files", err)
	}
	return fmt.Errorf("cannot read the spec: %w", err)
}

// warnUntrusted logs that applying would refuse this file.
func (a *app) warnUntrusted(path string) {
	if path == "-" {
		return
	}
	if err := (rootpath.Walker{}).Check(path); err != nil {
		a.log.Warn(untrusted(path, err).Error() + "; applying will refuse it")
	}
}
