package link

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// stateListen is the state of a listening socket (tcp_states.h).
const stateListen = 10

// Listeners returns the listening TCP sockets of this host, by inode (sock_diag(7)). The kernel searches only these; the
// table in /proc contains all connections too. The error wraps unix.ENOENT if the kernel was built without tcp_diag.
func Listeners() (map[uint64]netip.AddrPort, error) {
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot list the sockets that listen: %w", err)
	}
	defer conn.Close()
	sockets := map[uint64]netip.AddrPort{}
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		answers, err := conn.Execute(diagMessage(unix.SOCK_DIAG_BY_FAMILY, netlink.Dump, family, 1<<stateListen, nil))
		if err != nil {
			return nil, fmt.Errorf("cannot list the sockets that listen: %w", err)
		}
		for _, a := range answers {
			if s, ok := parseSession(a.Data); ok && len(a.Data) >= diagInode+4 {
				sockets[uint64(binary.NativeEndian.Uint32(a.Data[diagInode:]))] = s.local
			}
		}
	}
	return sockets, nil
}
