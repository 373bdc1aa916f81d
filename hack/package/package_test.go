package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var commit = time.Date(2026, 11, 26, 3, 43, 9, 0, time.UTC)

func TestDebianVersion(t *testing.T) {
	// in dpkg's order
	ordered := []struct{ described, want string }{
		{"caece19", "0~20261126034309.caece19"},
		{"v1.2.3-rc.1", "1.2.3~rc.1"},
		{"v1.2.3-rc.1-4-gcaece19", "1.2.3~rc.1+4.gcaece19"},
		{"v1.2.3", "1.2.3"},
		{"1.2.3-dirty", "1.2.3+dirty"},
		{"v1.2.3-14-gcaece19", "1.2.3+14.gcaece19"},
		{"v1.2.10", "1.2.10"},
	}
	for i, tt := range ordered {
		got, err := debianVersion(tt.described, commit)
		if err != nil || got != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.described, got, err, tt.want)
		}
		if dpkg, err := exec.LookPath("dpkg"); err == nil && i > 0 && tt.described != "v1.2.3-14-gcaece19" {
			if exec.Command(dpkg, "--compare-versions", ordered[i-1].want, "lt", tt.want).Run() != nil {
				t.Errorf("dpkg does not take %s for newer than %s", tt.want, ordered[i-1].want)
			}
		}
	}
	for _, wrong := range []string{"", "devel", "v1.2", "1.2.3 rc", "v1.2.3;rm"} {
		if got, err := debianVersion(wrong, commit); err == nil {
			t.Errorf("%q is taken as %q", wrong, got)
		}
	}
}

// TestScripts: Debian's shell parses the scripts of the package, and they contain what must not be forgotten.
func TestScripts(t *testing.T) {
	for name, needed := range map[string][]string{
		"postinst": {"--no-block restart", "--no-block start", "policy-rc.d", "daemon-reload", "rlb-agent init"},
		"prerm":    {"--no-block stop", "rlb-trial-end.timer"},
		"postrm":   {"deb-systemd-helper purge", "go on serving"},
	} {
		path := filepath.Join("scripts", name)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range needed {
			if !strings.Contains(string(data), text) {
				t.Errorf("%s lacks %q", name, text)
			}
		}
		if out, err := exec.Command("sh", "-n", path).CombinedOutput(); err != nil {
			t.Errorf("%s: %s", name, out)
		}
	}
}

// TestPurge: a purge after teardown leaves nothing. A purge without teardown leaves the files that HAProxy, keepalived and
// the units at boot read, also if the package is installed and purged again.
func TestPurge(t *testing.T) {
	data, err := os.ReadFile("scripts/postrm")
	if err != nil {
		t.Fatal(err)
	}
	const (
		read = "etc/rlb/ca.crt etc/systemd/system/rlb-firewall.service run/rlb/fault var/lib/rlb/drain var/lib/rlb/rules.v4"
		ours = "etc/rlb/spec.yaml run/rlb/status.json var/lib/rlb/history"
	)
	for _, tt := range []struct{ name, have, want string }{
		{"managed", read + " " + ours + " var/lib/rlb/memory.json", read},
		{"purged before", read + " " + ours, read},
		{"its directory is removed by hand", "etc/rlb/spec.yaml etc/systemd/system/rlb-firewall.service", "etc/systemd/system/rlb-firewall.service"},
		{"after teardown", ours + " etc/rlb/ca.crt", ""},
		{"never managed", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			for _, name := range strings.Fields(tt.have) {
				path := filepath.Join(root, name)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(root+"/var/lib/rlb/rules.v4"), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			script := regexp.MustCompile(`/(etc|run|var)/`).ReplaceAllString(string(data), root+"$0")
			script = strings.ReplaceAll(script, "deb-systemd-helper", "true")
			if out, err := exec.Command("sh", "-c", script, "postrm", "purge").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			var left []string
			err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
				if err == nil && !entry.IsDir() {
					left = append(left, strings.TrimPrefix(path, root+"/"))
				}
				return err
			})
			if got := strings.Join(left, " "); err != nil || got != tt.want {
				t.Errorf("it leaves %q, want %q: %v", got, tt.want, err)
			}
		})
	}
}

// programPath is the path of the agent in the package.
const programPath = "usr/sbin/rlb-agent"

// TestPackage: the package has everything that a host needs at Debian's paths, nothing outside of them, and the same
// bytes when it is built again. The packages of other architectures differ in the program only.
func TestPackage(t *testing.T) {
	agent := os.Getenv("RLB_AGENT")
	if agent == "" {
		t.Skip("packs for a minute, and builds nfpm before that: set RLB_AGENT to the program that make build makes")
	}
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("dpkg-deb is not installed")
	}
	t.Chdir("../..")
	bin := t.TempDir()
	releaseTiny(t, bin)
	if err := os.Remove(filepath.Join(bin, programs["amd64"])); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(agent, filepath.Join(bin, programs["amd64"])); err != nil {
		t.Fatal(err)
	}
	o := options{version: "v1.2.3", agent: agent, bin: bin, archs: slices.Collect(maps.Keys(machines)), time: commit}
	t.Setenv("SOURCE_DATE_EPOCH", fmt.Sprint(commit.Unix()))
	var sums [2][]byte
	for i := range sums {
		o.out = filepath.Join(t.TempDir(), "out")
		if err := o.run(); err != nil {
			t.Fatal(err)
		}
		sums[i], _ = os.ReadFile(filepath.Join(o.out, "SHA256SUMS"))
	}
	if len(sums[0]) == 0 || !bytes.Equal(sums[0], sums[1]) {
		t.Errorf("two builds differ:\n%s%s", sums[0], sums[1])
	}
	check := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	check.Dir = o.out
	if _, err := output(check); err != nil {
		t.Error(err)
	}
	deb := filepath.Join(o.out, "rlb-agent_1.2.3-1_amd64.deb")
	files := contents(t, deb)
	for _, name := range []string{
		programPath, "usr/lib/systemd/system/rlb-agent.service", "usr/share/rlb-agent/schema.json",
		"usr/share/man/man8/rlb-agent.8.gz", "usr/share/man/man5/rlb-agent-spec.5.gz", "usr/share/man/man7/rlb-agent-install.7.gz",
		"usr/share/bash-completion/completions/rlb-agent", "usr/share/zsh/vendor-completions/_rlb-agent",
		"usr/share/fish/vendor_completions.d/rlb-agent.fish", "usr/share/doc/rlb-agent/copyright",
		thirdParty, "usr/share/doc/rlb-agent/changelog.gz", "usr/share/doc/rlb-agent/changelog.Debian.gz",
		"usr/share/doc/rlb-agent/examples/pair.yaml", "usr/share/doc/rlb-agent/examples/monitoring/grafana-dashboard.json",
	} {
		if files[name] == "" {
			t.Errorf("the package has no %s", name)
		}
	}
	for name, text := range files {
		if !strings.HasPrefix(name, "usr/") || strings.HasPrefix(name, "usr/local/") {
			t.Errorf("the package has %s", name)
		}
		for _, path := range []string{"/usr/local/sbin/rlb-agent", "/usr/local/share/rlb-agent"} {
			if name != programPath && strings.Contains(text, path) {
				t.Errorf("%s names %s", name, path)
			}
		}
	}
	if unit := files["usr/lib/systemd/system/rlb-agent.service"]; !strings.Contains(unit, "\nExecStart=/usr/sbin/rlb-agent\n") {
		t.Errorf("the unit does not start the packaged program:\n%s", unit)
	}
	wantLicenses(t, agent, files[thirdParty])
	delete(files, programPath)
	sameOnAll(t, o.out, "1.2.3-1", files)
	sbom, err := os.ReadFile(strings.TrimSuffix(deb, ".deb") + ".cdx.json")
	if err != nil || !strings.Contains(string(sbom), `"bomFormat": "CycloneDX"`) || !strings.Contains(string(sbom), "pkg:golang/github.com/spf13/cobra@") {
		t.Errorf("the SBOM does not name what the program was built from: %v", err)
	}
	if out, err := exec.Command("lintian", "--allow-root", "--fail-on", "error", deb).CombinedOutput(); err != nil {
		t.Errorf("lintian (hack/tools lintian installs it): %v\n%s", err, out)
	}
}

const thirdParty = "usr/share/doc/rlb-agent/third-party-licenses.gz"

// wantLicenses checks that the licenses of Go and of each module in the program are in the package.
func wantLicenses(t *testing.T, agent, compressed string) {
	t.Helper()
	info, err := buildinfo.ReadFile(agent)
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(strings.NewReader(compressed))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"Go " + info.GoVersion}
	for _, module := range info.Deps {
		names = append(names, module.Path+" "+module.Version)
	}
	for _, name := range names {
		if !bytes.Contains(text, []byte("\n"+name+": ")) && !bytes.HasPrefix(text, []byte(name+": ")) {
			t.Errorf("the package has no license of %s", name)
		}
	}
	if n := bytes.Count(text, []byte("Copyright")); len(names) < 10 || n < len(names) {
		t.Errorf("%d copyright notices for %d names", n, len(names))
	}
}

// TestMakeInstall: make install installs the program that make build has made, and builds none.
func TestMakeInstall(t *testing.T) {
	agent, dir := os.Getenv("RLB_AGENT"), t.TempDir()
	if agent == "" {
		t.Skip("needs the program that make build makes: set RLB_AGENT to it")
	}
	if out, err := exec.Command("make", "-C", "../..", "install", "BIN="+agent, "DESTDIR="+dir).CombinedOutput(); err != nil || bytes.Contains(out, []byte("go build")) {
		t.Fatalf("%v\n%s", err, out)
	}
	for from, to := range map[string]string{
		agent: "usr/local/sbin/rlb-agent", "../systemd/rlb-agent.service": "etc/systemd/system/rlb-agent.service",
		"../../cmd/rlb-agent/schema/schema.json": "usr/local/share/rlb-agent/schema.json",
	} {
		want, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, to)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not %s: %v", to, from, err)
		}
	}
}

// contents returns the files of a package, which all belong to root.
func contents(t *testing.T, deb string) map[string]string {
	t.Helper()
	data, err := output(exec.Command("dpkg-deb", "--fsys-tarfile", deb))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		header, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Uid != 0 || header.Gid != 0 || header.Mode&0o022 != 0 || !header.ModTime.Equal(commit) && header.Name != "./" {
			t.Errorf("%s: owner %d:%d, mode %o, time %v", header.Name, header.Uid, header.Gid, header.Mode, header.ModTime)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(header.Name, "./")] = string(text)
	}
}

// TestRepository: apt accepts the packages of a signed repository, and none of a modified one.
func TestRepository(t *testing.T) {
	for _, program := range []string{"gpg", "dpkg-scanpackages", "dpkg-deb", "apt-get"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not installed")
		}
	}
	dir, err := os.MkdirTemp("/tmp", "rlb-repository-") // a short path, because gpg-agent's socket is in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("GNUPGHOME", filepath.Join(dir, "gnupg"))
	t.Cleanup(func() { exec.Command("gpgconf", "--kill", "all").Run() }) //nolint:errcheck // it ends with its directory too
	script := `set -e; cd ` + dir + `; umask 022
		mkdir -m 700 gnupg; mkdir -p root/DEBIAN packages
		gpg --batch --quiet --passphrase '' --quick-gen-key 'Test <test@example.org>' ed25519 sign never
		printf 'Package: rlb-agent\nVersion: 1.2.3-1\nArchitecture: all\nMaintainer: Test <test@example.org>\nDescription: x\n' >root/DEBIAN/control
		dpkg-deb --root-owner-group --build root packages/rlb-agent_1.2.3-1_all.deb
		"$REPOSITORY" test@example.org packages out
		mkdir -p apt/lists/partial apt/archives/partial; : >apt/status
		echo "deb [signed-by=$PWD/out/rlb-agent.asc] file:$PWD/out ./" >apt/sources.list
		for option in State::Lists=lists Cache=. Cache::Archives=archives State::status=status Etc::SourceList=sources.list; do
			echo "Dir::${option%%=*} \"$PWD/apt/${option#*=}\";"
		done >apt/apt.conf
		echo 'Dir::Etc::SourceParts "-"; APT::Sandbox::User "root"; Acquire::AllowInsecureRepositories "false";' >>apt/apt.conf`
	t.Setenv("REPOSITORY", absolute(t, "repository"))
	if _, err := output(exec.Command("sh", "-c", script)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("APT_CONFIG", filepath.Join(dir, "apt/apt.conf"))
	apt := "apt-get update -qq -o APT::Update::Error-Mode=any 2>&1 && apt-cache policy rlb-agent"
	if out, err := output(exec.Command("sh", "-c", apt)); err != nil || !strings.Contains(string(out), "Candidate: 1.2.3-1") {
		t.Fatalf("apt does not take the repository: %v\n%s", err, out)
	}
	tamper := "rm -r $1/apt/lists; mkdir -p $1/apt/lists/partial; cd $1/out; sed -i s/1.2.3-1/1.2.4-1/ Packages; gzip -9nkf Packages; " +
		"sed -i \"s/^ [0-9a-f]* [0-9]* Packages\\$/ $(sha256sum Packages | cut -c 1-64) $(stat -c %s Packages) Packages/\" Release InRelease; "
	if out, err := exec.Command("sh", "-c", tamper+apt, "sh", dir).CombinedOutput(); err == nil {
		t.Errorf("apt takes a repository that somebody changed:\n%s", out)
	}
	if out, err := exec.Command("./repository", "", dir, dir+"/none").CombinedOutput(); err == nil || !strings.Contains(string(out), "KEY=ID") {
		t.Errorf("without a key: %v\n%s", err, out)
	}
	if out, err := exec.Command("./repository", "nobody@example.org", dir+"/packages", dir+"/none").CombinedOutput(); err == nil || !strings.Contains(string(out), "no secret key nobody@") {
		t.Errorf("with a key that is not there: %v\n%s", err, out)
	}
	bare := `mkdir bare; for p in bash gpg mkdir cp gzip date; do ln -s "$(command -v $p)" bare; done; PATH=$PWD/bare "$REPOSITORY" test@example.org packages none`
	without := exec.Command("sh", "-c", bare)
	without.Dir = dir
	if out, err := without.CombinedOutput(); err == nil || !strings.Contains(string(out), "dpkg-dev") {
		t.Errorf("without dpkg-scanpackages: %v\n%s", err, out)
	}
	if _, err := os.Stat(dir + "/none"); err == nil {
		t.Error("a repository that cannot be signed is begun")
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	full, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return full
}
