package render

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/hack/lab"
)

// labReleases are the releases whose own programs are available. The programs of Debian 10 are not.
var labReleases = map[string]lab.Release{
	"experimental": lab.Experimental, "sid": lab.Sid, "debian13": lab.Trixie, "debian12": lab.Bookworm, "debian11": lab.Bullseye,
}

// onReleases runs a test for each release whose own programs are available. i is the release's place in releases.
func onReleases(t *testing.T, test func(t *testing.T, i int, program lab.Release)) {
	lab.Require(t)
	for i, r := range releases {
		program, ok := labReleases[r.name]
		if !ok {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			lab.RequireRelease(t.Context(), t, program)
			test(t, i, program)
		})
	}
}

// accepted runs a check for each golden file with a base name, with each release's programs.
func accepted(t *testing.T, base string, check func(t *testing.T, r lab.Release, spec *api.LoadBalancerSpec, data string)) {
	onReleases(t, func(t *testing.T, i int, program lab.Release) {
		for _, name := range examples(t) {
			text, _ := readGolden(t, filepath.Join("testdata/golden", name), base, i)
			t.Run(name, func(t *testing.T) { check(t, program, example(t, name), text) })
		}
	})
}

// TestHAProxyAccepts: each release's own HAProxy accepts its golden files without any warning (-dW).
func TestHAProxyAccepts(t *testing.T) {
	const script = `
ip link set lo up
mkdir -p run/haproxy /etc/rlb
echo "127.0.0.1 localhost master1.k8s.example.org master2.k8s.example.org master3.k8s.example.org" >/etc/hosts
echo "$1" >/etc/rlb/kubernetes-ca.crt
cat >/etc/haproxy/haproxy.cfg
haproxy -dW -c -f /etc/haproxy/haproxy.cfg`
	ca := string(certificate(t).Data)
	accepted(t, "haproxy.cfg", func(t *testing.T, r lab.Release, spec *api.LoadBalancerSpec, data string) {
		if out, err := inTree(t, r, data, script, ca); err != nil {
			t.Errorf("%v\n%s\n%s", err, out, data)
		}
	})
}

// TestHAProxyStartsWithoutDNS: HAProxy accepts a file with DNS names on a host without DNS, without /etc/resolv.conf and
// with no network except the loopback interface.
func TestHAProxyStartsWithoutDNS(t *testing.T) {
	const script = `
ip link set lo up
rm -f /etc/resolv.conf
mkdir -p run/haproxy
cat >/etc/haproxy/haproxy.cfg
haproxy -c -f /etc/haproxy/haproxy.cfg`
	spec := example(t, "dns-servers")
	onReleases(t, func(t *testing.T, i int, program lab.Release) {
		for _, nameservers := range []string{"nameserver 127.0.0.53", "nameserver 203.0.113.1\nnameserver 2001:db8:9::1", ""} {
			facts := factsFor(spec, releases[i])
			facts.Nameservers = Nameservers([]byte(nameservers))
			f := fileOf(t, files(t, spec, facts), HAProxyConfig)
			if out, err := inTree(t, program, string(f.Data), script); err != nil {
				t.Errorf("%q: %v\n%s\n%s", nameservers, err, out, f.Data)
			}
		}
	})
}

// certificate returns the certificate of a CA, at the path that the examples name.
func certificate(t *testing.T) lab.File {
	t.Helper()
	data, err := os.ReadFile("testdata/ca.crt")
	if err != nil {
		t.Fatal(err)
	}
	return lab.File{Path: "/etc/rlb/kubernetes-ca.crt", Data: data}
}

// linkLocal is a complaint of keepalived 2.1 about every IPv6 instance with multicast. Newer versions only log it.
// keepalived accepts the file, and the virtual IP works.
const linkLocal = "(HA-CLUSTER-IPv6) the first IPv6 VIP address must be link local"

// TestKeepalivedAccepts: each release's own keepalived accepts its golden files.
func TestKeepalivedAccepts(t *testing.T) {
	var scripts []lab.File
	for _, event := range []string{"master", "backup", "fault", "stop"} {
		path := "/usr/local/sbin/rlb-notify-" + event
		scripts = append(scripts, lab.File{Path: path, Data: []byte("#!/bin/sh\n"), Mode: 0o755})
	}
	accepted(t, "keepalived.conf", func(t *testing.T, r lab.Release, spec *api.LoadBalancerSpec, data string) {
		interfaces := []string{factsFor(spec, stable).Interface}
		for _, v := range spec.VirtualIPs {
			if v.Interface != "" && !slices.Contains(interfaces, v.Interface) {
				interfaces = append(interfaces, v.Interface)
			}
		}
		err := lab.CheckKeepalived(t.Context(), r, []byte(data), strings.Join(interfaces, " "), scripts...)
		if err != nil && !(r == lab.Bullseye && strings.HasSuffix(err.Error(), linkLocal)) {
			t.Errorf("%v\n%s", err, data)
		}
	})
}

// caseRefusals has the valid cases that the programs refuse, with the text of the refusal: a raw line names something that
// the host lacks, or that only some versions support. taken lists the releases that accept the case.
var caseRefusals = map[string]struct {
	said  string
	taken []lab.Release
}{
	"19-auth-pass-raw.keepalived": {said: "Truncating auth_pass to 8 characters"},
	"50-http-mode.haproxy":        {said: "'/etc/haproxy/site.pem'"},
	"89-nbproc.haproxy":           {said: "nbproc is not supported any more since HAProxy 2.5.", taken: []lab.Release{lab.Bullseye}},
}

// validCases returns the valid cases of api/testdata/cases, by name.
func validCases(t *testing.T) map[string]*api.LoadBalancerSpec {
	t.Helper()
	paths, err := filepath.Glob("../api/testdata/cases/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	specs := map[string]*api.LoadBalancerSpec{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if doc, err := api.Parse(path, data); err == nil {
			specs[strings.TrimSuffix(filepath.Base(path), ".yaml")] = &doc.Spec
		}
	}
	if len(specs) < 40 {
		t.Fatalf("only %d cases are valid", len(specs))
	}
	return specs
}

// TestCasesAccepted: each release's own programs accept the rendered files of the valid cases, except caseRefusals. The
// host has the interfaces that the cases name, and a default route, because HAProxy 2.2 needs a route to name servers.
func TestCasesAccepted(t *testing.T) {
	const script = `
mkdir -p run/haproxy run/rlb var/lib/rlb cases
tar -x -C cases -f -
ip link set lo up
for iface in $1; do
	ip link add "$iface" type veth peer name "p-$iface"
	ip link set "$iface" up
done
ip addr add 198.51.100.1/24 dev eth0
ip route add default via 198.51.100.254
check() {
	case $1 in
	*.haproxy) said=$(haproxy -c -f "$1" 2>&1) ;;
	*) said=$(keepalived -t -f "$1" 2>&1) ;;
	esac && code=0 || code=$?
	printf '= %s %s\n%s\n' "$1" "$code" "$said" >"said/$1"
}
cd cases
mkdir said
for file in *.haproxy; do check "$file"; done &
for file in *.keepalived; do check "$file"; done
wait
cat said/*`
	specs := validCases(t)
	onReleases(t, func(t *testing.T, i int, program lab.Release) {
		archive, interfaces := casesFor(t, specs, releases[i])
		out, err := inTree(t, program, archive, script, interfaces)
		if err != nil {
			t.Fatal(err)
		}
		judged := map[string]bool{}
		for _, said := range strings.Split(strings.TrimPrefix(out, "= "), "\n= ") {
			head, text, _ := strings.Cut(said, "\n")
			name, code, _ := strings.Cut(head, " ")
			judged[name] = true
			complaints := slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool {
				return strings.HasSuffix(name, ".haproxy") && (!strings.HasPrefix(line, "[ALERT]") || strings.Contains(line, "rror(s) found in") || strings.Contains(line, "Fatal errors")) ||
					HarmlessComplaint(line)
			})
			want, refused := caseRefusals[name]
			refused = refused && !slices.Contains(want.taken, program)
			switch {
			case refused && (len(complaints) != 1 || !strings.Contains(complaints[0], want.said)):
				t.Errorf("is not refused with %q:\n%s", want.said, said)
			case !refused && (code != "0" || len(complaints) > 0):
				t.Errorf("is refused:\n%s", said)
			}
		}
		for name := range caseRefusals {
			if !judged[name] {
				t.Errorf("no verdict of %s", name)
			}
		}
		t.Logf("%d files", len(judged))
	})
}

// casesFor returns a tar archive of the rendered files of cases for a release, each content once, and the interfaces that
// the cases name.
func casesFor(t *testing.T, specs map[string]*api.LoadBalancerSpec, r release) (archive, interfaces string) {
	t.Helper()
	var data bytes.Buffer
	w := tar.NewWriter(&data)
	seen := map[string]bool{}
	names := map[string]bool{"eth0": true, "ens10": true, "eth1": true} // raw lines name the last two
	for _, name := range slices.Sorted(maps.Keys(specs)) {
		facts := factsFor(specs[name], r)
		names[facts.Interface] = true
		for _, v := range specs[name].VirtualIPs {
			if v.Interface != "" {
				names[v.Interface] = true
			}
		}
		all := files(t, specs[name], facts)
		for program, kind := range map[string]Kind{"haproxy": HAProxyConfig, "keepalived": KeepalivedConfig} {
			text := fileOf(t, all, kind).Data
			if seen[string(text)] { // many cases have the same keepalived.conf
				continue
			}
			seen[string(text)] = true
			err := w.WriteHeader(&tar.Header{Name: name + "." + program, Mode: 0o644, Size: int64(len(text))})
			if _, failed := w.Write(text); err != nil || failed != nil {
				t.Fatal(err, failed)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return data.String(), strings.Join(slices.Collect(maps.Keys(names)), " ")
}

// TestFirewallKeepsRules: each release's iptables accepts the rules, and its iptables-save prints them exactly as they
// were rendered, so that the agent finds no false difference. A second load of the rules changes nothing.
func TestFirewallKeepsRules(t *testing.T) {
	const script = `
rules=$(mktemp) && cat >$rules
$1-restore -w 5 --noflush --test $rules
$1-restore -w 5 --noflush $rules
$1 -w 5 -D INPUT -j RLB-INPUT
$1-restore -w 5 --noflush $rules
$1-save -t filter`
	for family, tool := range map[api.Family]string{api.IPv4: "iptables", api.IPv6: "ip6tables"} {
		base := "rules.v4"
		if family == api.IPv6 {
			base = "rules.v6"
		}
		accepted(t, base, func(t *testing.T, r lab.Release, spec *api.LoadBalancerSpec, data string) {
			saved, err := inTree(t, r, data, script, tool)
			if err != nil {
				t.Fatalf("%v\n%s", err, data)
			}
			saved = strings.ReplaceAll(saved, "-p vrrp ", "-p 112 ") // iptables before 1.8.11 prints the name; the agent handles both
			want := append([]string{Jump}, chainRules(File{Data: []byte(data)})...)
			if diff := cmp.Diff(want, slices.DeleteFunc(strings.Split(saved, "\n"), func(line string) bool {
				return !strings.HasPrefix(line, "-A ")
			})); diff != "" {
				t.Errorf("(-rendered +saved):\n%s", diff)
			}
		})
	}
}

// TestNftAccepts: each release's nft and this kernel accept the rules of planned moves, also a second time. nft lists as
// many rules as were rendered, so that the agent finds no false difference.
func TestNftAccepts(t *testing.T) {
	const script = `
rules=$(mktemp) && cat >$rules
ip link set lo up
ip link add eth0 type veth peer name peer0
nft -c -f $rules
nft -f $rules
nft -f $rules
nft list ruleset`
	accepted(t, "handover.nft", func(t *testing.T, r lab.Release, spec *api.LoadBalancerSpec, data string) {
		if data == "" || r == lab.Bullseye { // an example without the rules; an nft that aborts when it lists them (the agent refuses it)
			return
		}
		listed, err := inTree(t, r, data, script)
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		for _, family := range api.Families {
			if want, got := CountRules(data, family), CountRules(listed, family); got != want {
				t.Errorf("%v: %d rules are listed, want %d:\n%s", family, got, want, listed)
			}
		}
	})
}

// TestSystemdAccepts: systemd finds nothing wrong with the units.
func TestSystemdAccepts(t *testing.T) {
	const script = `
cat >/etc/systemd/system/rlb-firewall.service
systemd-analyze verify --man=no /etc/systemd/system/rlb-firewall.service 2>&1`
	accepted(t, FirewallUnit, func(t *testing.T, r lab.Release, spec *api.LoadBalancerSpec, data string) {
		out, err := inTree(t, r, data, script)
		if err != nil || strings.Contains(out, "rlb-firewall") {
			t.Errorf("%v\n%s\n%s", err, out, data)
		}
	})
	spec := example(t, "minimal")
	facts := factsFor(spec, stable)
	facts.KeepalivedConfig = "/etc/keepalived/other.conf"
	for _, f := range files(t, spec, facts) {
		dir, dropIn := filepath.Split(f.Path)
		name, ok := strings.CutSuffix(filepath.Base(dir), ".d")
		if !ok {
			continue
		}
		script := fmt.Sprintf("mkdir %s && cat >%s\nsystemd-analyze verify --man=no /lib/systemd/system/%s 2>&1", dir, f.Path, name)
		onReleases(t, func(t *testing.T, _ int, r lab.Release) {
			if out, err := inTree(t, r, string(f.Data), script); err != nil || strings.Contains(out, dropIn) {
				t.Errorf("%s: %v\n%s\n%s", f.Path, err, out, f.Data)
			}
		})
	}
}

// treeScript mounts a writable overlay over a release's tree, in namespaces that end with the script. $1 is the tree, $2
// an empty directory, $3 the script; the rest are the script's arguments.
const treeScript = `
tree=$1 scratch=$2 script=$3
shift 3
mount -t tmpfs tmpfs "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$scratch/upper,workdir=$scratch/work" "$scratch/root"
cd "$scratch/root"
mount -t proc proc proc
mount -t tmpfs tmpfs run
mount --rbind /dev dev
mount --rbind /sys sys
exec chroot . env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 sh -ec "$script" sh "$@"
`

// inTree runs a script in a release's tree, in a network of its own, and returns its standard output.
func inTree(t *testing.T, r lab.Release, stdin, script string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tree, err := lab.ProgramTree(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-ec", treeScript, "sh", tree, t.TempDir(), script}, args...)
	cmd := exec.CommandContext(ctx, "unshare", args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		err = errors.Join(err, errors.New(string(failed.Stderr)))
	}
	return string(out), err
}

// TestRehearsalStarts: each release's HAProxy accepts the configuration that rehearses the checks.
func TestRehearsalStarts(t *testing.T) {
	const script = `
ip link set lo up
mkdir -p /etc/rlb
echo "$1" >/etc/rlb/kubernetes-ca.crt
cat >/rehearsal.cfg
haproxy -c -f /rehearsal.cfg`
	ca := string(certificate(t).Data)
	accepted(t, "haproxy.cfg", func(t *testing.T, r lab.Release, spec *api.LoadBalancerSpec, data string) {
		text := Rehearsal(File{Data: []byte(data)}, "/run/s")
		if out, err := inTree(t, r, string(text), script, ca); err != nil {
			t.Errorf("%v\n%s\n%s", err, out, text)
		}
	})
}
