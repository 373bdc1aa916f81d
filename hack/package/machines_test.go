package main

import (
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// machines are those of Debian that there are packages for, and the settings of Go's compiler for each.
var machines = map[string]struct {
	elf      elf.Machine
	settings map[string]string
}{
	"amd64": {elf.EM_X86_64, map[string]string{"GOARCH": "amd64"}},
	"arm64": {elf.EM_AARCH64, map[string]string{"GOARCH": "arm64"}},
	"armhf": {elf.EM_ARM, map[string]string{"GOARCH": "arm", "GOARM": "6"}}, // the first Raspberry Pi too
}

// releaseTiny builds what make release builds, with another program in the agent's place, into a directory.
func releaseTiny(t *testing.T, dir string) {
	t.Helper()
	recipe, err := output(exec.Command("make", "--no-print-directory", "-n", "release", "VERSION=v1.2.3"))
	if err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer(" ./cmd/rlb-agent", " ./hack/package/testdata/tiny", " bin/", " "+dir+"/").Replace(string(recipe))
	if _, err := output(exec.Command("sh", "-ec", script)); err != nil {
		t.Fatal(err)
	}
}

// sameOnAll judges the packages of all machines by that of one: the same files but for the program, which is for the machine that
// the control file names, and needs nothing of the host.
func sameOnAll(t *testing.T, dir, version string, files map[string]string) {
	t.Helper()
	for arch, machine := range machines {
		deb := filepath.Join(dir, "rlb-agent_"+version+"_"+arch+".deb")
		control, err := output(exec.Command("dpkg-deb", "--field", deb, "Architecture", "Version", "Maintainer", "Depends"))
		if err != nil {
			t.Error(err)
			continue
		}
		if want := "Architecture: " + arch + "\nVersion: " + version + "\nMaintainer: " + maintainer + "\n"; string(control) != want {
			t.Errorf("%s: the control file says\n%swant\n%s", arch, control, want)
		}
		if sbom, err := os.ReadFile(strings.TrimSuffix(deb, ".deb") + ".cdx.json"); err != nil || !strings.Contains(string(sbom), "CycloneDX") {
			t.Errorf("%s: no SBOM: %v", arch, err)
		}
		own := contents(t, deb)
		program := strings.NewReader(own[programPath])
		delete(own, programPath)
		if !maps.Equal(own, files) {
			t.Errorf("%s: the files are not those of the other machines", arch)
		}
		judgeProgram(t, arch, program, machine.elf, machine.settings)
	}
}

func judgeProgram(t *testing.T, arch string, program io.ReaderAt, machine elf.Machine, settings map[string]string) {
	t.Helper()
	file, err := elf.NewFile(program)
	if err != nil {
		t.Errorf("%s: %v", arch, err)
		return
	}
	if file.Machine != machine || file.Section(".interp") != nil || file.Section(".symtab") != nil {
		t.Errorf("%s: a program for %v, with the sections %v", arch, file.Machine, file.Sections)
	}
	info, err := buildinfo.Read(program)
	if err != nil {
		t.Errorf("%s: %v", arch, err)
		return
	}
	got := map[string]string{}
	for _, s := range info.Settings {
		got[s.Key] = s.Value
	}
	for key, want := range settings {
		if got[key] != want {
			t.Errorf("%s: built with %s=%q, want %q", arch, key, got[key], want)
		}
	}
	if got["CGO_ENABLED"] != "0" || got["-trimpath"] != "true" {
		t.Errorf("%s: built with %v", arch, got)
	}
}

// A listed package is one of "go list -deps -json".
type listed struct {
	ImportPath, Dir string
	GoFiles         []string
	ImportMap       map[string]string
	Module          *struct{ Main bool }
}

// TestOtherMachines: the agent's source suits the machines that no test builds it for, as far as types tell: numbers that are
// too large for 32 bits, system calls that are not there.
func TestOtherMachines(t *testing.T) {
	for arch, machine := range machines {
		t.Run(arch, func(t *testing.T) {
			list := exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,GoFiles,ImportMap,Module", "-tags", "nethttpomithttp2", "../../cmd/rlb-agent")
			list.Env = append(os.Environ(), "CGO_ENABLED=0")
			for key, value := range machine.settings {
				list.Env = append(list.Env, key+"="+value)
			}
			out, err := output(list)
			if err != nil {
				t.Fatal(err)
			}
			checkTypes(t, strings.NewReader(string(out)), machine.settings["GOARCH"])
		})
	}
}

// checkTypes checks the types of packages, each of which stands behind those that it imports. Those of others are read only
// for what they export.
func checkTypes(t *testing.T, packages io.Reader, goarch string) {
	t.Helper()
	known := map[string]*types.Package{"unsafe": types.Unsafe}
	fset := token.NewFileSet()
	for d := json.NewDecoder(packages); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		if p.ImportPath == "unsafe" {
			continue
		}
		ours := p.Module != nil && p.Module.Main
		var files []*ast.File
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
		config := types.Config{
			IgnoreFuncBodies: !ours, Sizes: types.SizesFor("gc", goarch), Importer: imports{known, p.ImportMap},
			Error: func(err error) {
				if ours {
					t.Error(err)
				}
			},
		}
		known[p.ImportPath], _ = config.Check(p.ImportPath, fset, files, nil) // its errors are told by Error
	}
}

// imports finds packages that were checked before.
type imports struct {
	known map[string]*types.Package
	as    map[string]string // import paths that mean another one, as vendored ones
}

func (i imports) Import(path string) (*types.Package, error) {
	if as, ok := i.as[path]; ok {
		path = as
	}
	if p := i.known[path]; p != nil {
		return p, nil
	}
	return nil, errors.New("not checked before: " + path)
}
