package debian

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/link"
)

// Recorded on a little-endian machine. All machines on which Debian's HAProxy runs are little-endian, except s390x.
const tcp6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:1D13 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 158072 1 0 100 0 0 10 0
   1: B80D0120000000000000000001000000:192B 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 158073 1 0 100 0 0 10 0
   2: 0000000000000000FFFF00000100007F:192C 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 158074 1 0 100 0 0 10 0
   3: 0000000000000000FFFF00000100007F:192C 0000000000000000FFFF00000100007F:D288 01 00000000:00000000 00:00000000 00000000     0        0 158075 1 0 100 0 0 10 0
`

const tcp4 = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 6464 rubbish
   1: 646433C6:1D13 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 158076 1 00000000b38fff20 100 0 0 10 0
   2: 646433C6:1D13 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 158077 1 00000000b38fff21 100 0 0 10 0
   3: 0100007F:1D14 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 158078 1 00000000b38fff22 100 0 0 10 0
`

func TestListenersRecorded(t *testing.T) {
	h, _ := newFake(t)
	for _, dir := range []string{"net", "7/fd", "8/fd"} {
		if err := os.MkdirAll(filepath.Join(h.proc, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(h.proc, "net/tcp"), tcp4)
	write(t, filepath.Join(h.proc, "net/tcp6"), tcp6)
	for fd, target := range map[string]string{
		"7/fd/0": "/dev/null", "7/fd/3": "socket:[158072]", "7/fd/4": "socket:[158073]", "7/fd/5": "socket:[158075]",
		"8/fd/3": "socket:[158074]", "8/fd/4": "socket:[158076]", "8/fd/5": "socket:[158077]", "8/fd/6": "pipe:[158078]",
	} {
		if err := os.Symlink(target, filepath.Join(h.proc, fd)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := h.Listeners(t.Context(), 7, 8, 9) // 9 does not exist
	want := []netip.AddrPort{
		netip.MustParseAddrPort("127.0.0.1:6444"), netip.MustParseAddrPort("198.51.100.100:7443"),
		netip.MustParseAddrPort("[::]:7443"), netip.MustParseAddrPort("[2001:db8::1]:6443"),
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}

	write(t, filepath.Join(h.proc, "7/comm"), "evil\x1b[2J\nerror: gone\n") // prctl(2) accepts such a name
	all, err := h.Sockets(t.Context())
	if err != nil || !slices.ContainsFunc(all, func(s host.Socket) bool { return s.PID == 7 && s.Program == "evil[2J error: gone" }) {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestListenersOfThisProcess(t *testing.T) {
	for name, listeners := range map[string]func() (map[uint64]netip.AddrPort, error){
		"asked":  link.Listeners,
		"tables": func() (map[uint64]netip.AddrPort, error) { return nil, unix.ENOENT },
	} {
		t.Run(name, func(t *testing.T) { testListenersOfThisProcess(t, listeners) })
	}
}

func testListenersOfThisProcess(t *testing.T, listeners func() (map[uint64]netip.AddrPort, error)) {
	h, _ := newFake(t)
	h.proc, h.listeners = "/proc", listeners
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err) // every machine has loopback
	}
	t.Cleanup(func() { _ = l.Close() })
	got, err := h.Listeners(t.Context(), os.Getpid())
	if want := netip.MustParseAddrPort(l.Addr().String()); err != nil || !slices.Contains(got, want) {
		t.Errorf("%s listens on %v, %v; want %v", strconv.Itoa(os.Getpid()), got, err, want)
	}
}
