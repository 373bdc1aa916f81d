package lab

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ErrNoVerdict is the cause of a check's error if the program died without a verdict.
var ErrNoVerdict = errors.New("the program died without a verdict")

// checkScript mounts a scratch overlay over a release's tree, in namespaces of its own that end with it: $1 is the
// tree, $2 an empty directory to mount on, $3 the interfaces to make, and the rest is the program. Files come as an
// archive on standard input.
const checkScript = `
tree=$1 scratch=$2 interfaces=$3
shift 3
mount -t tmpfs tmpfs "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$scratch/upper,workdir=$scratch/work" "$scratch/root"
cd "$scratch/root"
mount -t proc proc proc
mount -t tmpfs tmpfs run
mount --rbind /dev dev
mkdir -p run/haproxy run/rlb var/lib/rlb
tar -x -f -
n=0
for iface in $interfaces; do
	n=$((n + 1))
	ip link add "$iface" type veth peer name "rlb-peer$n"
	ip addr add "198.51.100.$n/24" dev "$iface"
	ip link set "$iface" up
	ip link set "rlb-peer$n" up
done
exec chroot . env -i PATH=` + hostPath + ` LC_ALL=C.UTF-8 "$@"
`

// CheckHAProxy checks with the release's own haproxy whether it would start with cfg; the error has haproxy's output.
// Files are written beside the configuration, which may refer to them.
func CheckHAProxy(ctx context.Context, r Release, cfg []byte, files ...File) error {
	_, err := check(ctx, r, "", append(files, File{Path: "/etc/haproxy/haproxy.cfg", Data: cfg}),
		"haproxy", "-c", "-f", "/etc/haproxy/haproxy.cfg")
	return err
}

// CheckKeepalived checks with the release's own keepalived whether it accepts conf without a message, on a host with
// these interfaces (names separated by spaces). Files are written beside the configuration, which may refer to them.
func CheckKeepalived(ctx context.Context, r Release, conf []byte, interfaces string, files ...File) error {
	program := []string{"keepalived", "--config-test", "--use-file=/etc/keepalived/keepalived.conf"}
	said, err := check(ctx, r, interfaces, append(files, File{Path: "/etc/keepalived/keepalived.conf", Data: conf}), program...)
	if err == nil && said != "" {
		// Old releases report a bad value but exit with 0; for a good configuration all are silent.
		err = &RunError{Args: program, Stderr: said, Err: errors.New("it complained")}
	}
	return err
}

func check(ctx context.Context, r Release, interfaces string, files []File, program ...string) (said string, err error) {
	tree, err := ProgramTree(ctx, r)
	if err != nil {
		return "", err
	}
	archive, err := tarball(files)
	if err != nil {
		return "", err
	}
	scratch := filepath.Join(cacheDir, "scratch")
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return "", err
	}
	cmd := command(ctx, append([]string{"unshare", "--mount", "--net", "sh", "-ec", checkScript, "sh", tree, scratch, interfaces}, program...)...)
	cmd.Stdin = bytes.NewReader(archive)
	_, said, err = outputs(ctx, cmd, program)
	if failed, ok := errors.AsType[*RunError](err); ok && (failed.Code < 0 || failed.Code > 125) {
		return said, fmt.Errorf("%w: %w", ErrNoVerdict, err)
	}
	return said, err
}

func tarball(files []File) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		mode := int64(f.Mode.Perm())
		if mode == 0 {
			mode = 0o644
		}
		err := w.WriteHeader(&tar.Header{Name: strings.TrimLeft(f.Path, "/"), Mode: mode, Size: int64(len(f.Data))})
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(f.Data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
