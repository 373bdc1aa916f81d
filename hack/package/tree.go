package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// tree is a directory with the files of the package. All of them have the time of the commit, and modes that do not
// depend on the builder, so that the same commit gives the same package.
type tree struct {
	dir  string
	time time.Time
}

// put writes a file at its path on the host.
func (t tree) put(name string, data []byte, mode fs.FileMode) error {
	at := filepath.Join(t.dir, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(at, data, mode); err != nil {
		return err
	}
	return os.Chmod(at, mode) // regardless of the umask
}

// compressed is put for documents, which Debian's packages compress (Debian policy 12.1 and 12.7).
func (t tree) compressed(name string, data []byte) error {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return t.put(name+".gz", b.Bytes(), 0o644)
}

// seal sets the time of everything in the tree. A directory's time is set after its files are written.
func (t tree) seal() error {
	return filepath.WalkDir(t.dir, func(at string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			err = os.Chmod(at, 0o755)
		}
		if err == nil {
			err = os.Chtimes(at, t.time, t.time)
		}
		return err
	})
}

const (
	doc   = "usr/share/doc/rlb-agent/"
	share = "usr/share/rlb-agent/"
)

// common adds the files that are the same on every architecture. agent is a program that runs on this machine.
func (t tree) common(agent, version, debian string) error {
	for _, step := range []func() error{
		func() error { return t.manPages(version) },
		func() error { return t.completions(agent) },
		func() error { return t.copies(t.put, "cmd/rlb-agent/schema/schema.json", share+"schema.json") },
		func() error { return t.copies(t.put, "hack/package/copyright", doc+"copyright") },
		func() error { return t.licenses(agent) },
		func() error {
			return t.copies(t.put, "hack/package/lintian-overrides", "usr/share/lintian/overrides/rlb-agent")
		},
		func() error {
			return t.copies(t.put, "hack/systemd/rlb-agent.service", "usr/lib/systemd/system/rlb-agent.service")
		},
		func() error { return t.examples() },
		func() error { return t.changelogs(debian) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// packaged replaces the paths of "make install" in a file by those of the package.
var packaged = strings.NewReplacer("/usr/local/sbin/rlb-agent", "/usr/sbin/rlb-agent", "/usr/local/share/rlb-agent", "/usr/share/rlb-agent")

// copies adds a file of the repository.
func (t tree) copies(put func(string, []byte, fs.FileMode) error, from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return put(to, []byte(packaged.Replace(string(data))), 0o644)
}

func (t tree) examples() error {
	return filepath.WalkDir("examples", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return t.copies(t.put, name, doc+filepath.ToSlash(name))
	})
}

// manPages writes the manual with hack/man, and compresses it.
func (t tree) manPages(version string) error {
	dir, err := os.MkdirTemp("", "rlb-man-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if _, err := output(exec.Command("go", "run", "./hack/man", "-dir", dir, "-version", version)); err != nil {
		return err
	}
	pages, err := filepath.Glob(dir + "/man*/*")
	if err != nil || len(pages) == 0 {
		return fmt.Errorf("cannot find the man pages in %s: %w", dir, err)
	}
	for _, page := range pages {
		data, err := os.ReadFile(page)
		if err != nil {
			return err
		}
		if err := t.compressed(path.Join("usr/share/man", filepath.Base(filepath.Dir(page)), filepath.Base(page)), data); err != nil {
			return err
		}
	}
	return nil
}

// completions writes the completion script of each shell to Debian's path for packages.
func (t tree) completions(agent string) error {
	for shell, name := range map[string]string{
		"bash": "usr/share/bash-completion/completions/rlb-agent",
		"zsh":  "usr/share/zsh/vendor-completions/_rlb-agent",
		"fish": "usr/share/fish/vendor_completions.d/rlb-agent.fish",
	} {
		script, err := output(exec.Command(agent, "completion", shell))
		if err != nil {
			return err
		}
		if err := t.put(name, script, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// changelogs adds the project's changelog, and the package's, with one entry that names its version.
func (t tree) changelogs(debian string) error {
	changes, err := os.ReadFile("CHANGELOG.md")
	if err != nil {
		return err
	}
	if err := t.compressed(doc+"changelog", changes); err != nil {
		return err
	}
	entry := fmt.Sprintf("rlb-agent (%s) stable; urgency=medium\n\n  * The changes of this version are in changelog.gz.\n\n -- %s  %s\n",
		debian, maintainer, t.time.UTC().Format(time.RFC1123Z))
	return t.compressed(doc+"changelog.Debian", []byte(entry))
}

// output runs a command and returns its standard output.
func output(cmd *exec.Cmd) ([]byte, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, stderr.Bytes())
	}
	return out, nil
}
