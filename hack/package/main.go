// Command package makes the Debian packages of the agent, a list of the components of each program (SBOM), and
// checksums: "make package". It runs in the root of the repository. SOURCE_DATE_EPOCH, the time of the commit, and the
// programs determine every byte of the output (reproducible-builds.org).
package main

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maintainer is the maintainer in nfpm.yaml.
const maintainer = "rlb-agent maintainers <maintainers@rlb.dev>"

// programs are the programs of "make release" by Debian's name of the architecture. armhf is ARMv6 code, which also
// runs on the first Raspberry Pi.
var programs = map[string]string{"amd64": "rlb-agent-linux-amd64", "arm64": "rlb-agent-linux-arm64", "armhf": "rlb-agent-linux-armv6"}

func main() {
	var o options
	flag.StringVar(&o.version, "version", "", "the version, as git describe names it")
	flag.StringVar(&o.agent, "agent", "bin/rlb-agent", "the agent for this machine, which writes the completions")
	flag.StringVar(&o.bin, "bin", "bin", "the directory of the programs that make release makes")
	flag.StringVar(&o.out, "out", "dist/packages", "the directory that gets the packages; what was in it goes")
	arch := flag.String("arch", "amd64,arm64,armhf", "for which machines")
	flag.Parse()
	o.archs = strings.Split(*arch, ",")
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err == nil {
		o.time = time.Unix(seconds, 0)
		err = o.run()
	} else {
		err = fmt.Errorf("cannot tell the time of the commit from SOURCE_DATE_EPOCH: %w", err)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "package:", err)
		os.Exit(1)
	}
}

type options struct {
	version, agent, bin, out string
	archs                    []string
	time                     time.Time
}

func (o options) run() (err error) {
	debian, err := debianVersion(o.version, o.time)
	if err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(o.out), os.MkdirAll(o.out, 0o755)); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "rlb-package-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	t := tree{dir: dir, time: o.time}
	if err := t.common(o.agent, o.version, debian+"-1"); err != nil {
		return err
	}
	for _, arch := range o.archs {
		if programs[arch] == "" {
			return fmt.Errorf("cannot make a package for %q: it is one of %v", arch, slices.Sorted(maps.Keys(programs)))
		}
		if err := o.pack(t, arch, debian); err != nil {
			return err
		}
	}
	return o.checksums()
}

// pack makes the package for one architecture, and its SBOM.
func (o options) pack(t tree, arch, debian string) error {
	program := filepath.Join(o.bin, programs[arch])
	data, err := os.ReadFile(program)
	if err != nil {
		return fmt.Errorf("cannot read what make release makes: %w", err)
	}
	if err := errors.Join(t.put("usr/sbin/rlb-agent", data, 0o755), t.seal()); err != nil {
		return err
	}
	name := fmt.Sprintf("rlb-agent_%s-1_%s", debian, arch)
	nfpm := tool("nfpm", "package", "--config", "hack/package/nfpm.yaml", "--packager", "deb", "--target", filepath.Join(o.out, name+".deb"))
	nfpm.Env = append(os.Environ(), "RLB_ARCH="+arch, "RLB_VERSION="+debian, "RLB_TREE="+t.dir)
	if _, err := output(nfpm); err != nil {
		return err
	}
	_, err = output(tool("cyclonedx-gomod", "bin", "-json", "-std", "-noserial", "-notimestamp", "-version", o.version,
		"-output", filepath.Join(o.out, name+".cdx.json"), program))
	return err
}

// tool returns a call of a program that tools.mod names.
func tool(name string, args ...string) *exec.Cmd {
	return exec.Command("go", append([]string{"tool", "-modfile=hack/package/tools.mod", name}, args...)...)
}

// checksums writes SHA256SUMS for "sha256sum --check".
func (o options) checksums() error {
	files, err := os.ReadDir(o.out)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join(o.out, file.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(data), file.Name())
	}
	return os.WriteFile(filepath.Join(o.out, "SHA256SUMS"), []byte(b.String()), 0o644)
}
