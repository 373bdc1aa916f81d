package debian

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"syscall"

	"rlb.dev/rlb-agent/reconcile/host"
)

// Listeners returns the TCP sockets on which the processes listen, sorted.
func (h *Host) Listeners(ctx context.Context, pids ...int) ([]netip.AddrPort, error) {
	owned := make(map[uint64]bool) // inodes of the processes' sockets
	for _, pid := range pids {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := socketsOf(filepath.Join(h.proc, strconv.Itoa(pid), "fd"), owned); err != nil {
			return nil, wrap(fmt.Sprintf("see the sockets of process %d", pid), cause(err))
		}
	}
	if len(owned) == 0 {
		return nil, nil
	}
	listening, err := h.listening()
	if err != nil {
		return nil, err
	}
	var all []netip.AddrPort
	for inode, addr := range listening {
		if owned[inode] {
			all = append(all, addr)
		}
	}
	slices.SortFunc(all, netip.AddrPort.Compare)
	return slices.Compact(all), nil // with several threads an address has several sockets
}

// listening returns the listening TCP sockets of this host, by inode. If the kernel cannot list only these, it reads the
// tables of all sockets.
func (h *Host) listening() (map[uint64]netip.AddrPort, error) {
	sockets, err := h.listeners()
	if err == nil {
		return sockets, nil
	}
	h.log.Debug("reading the tables of all TCP sockets", "err", err)
	sockets = map[uint64]netip.AddrPort{}
	for _, table := range []string{"net/tcp", "net/tcp6"} {
		text, err := os.ReadFile(filepath.Join(h.proc, table))
		if errors.Is(err, fs.ErrNotExist) {
			continue // no IPv6
		}
		if err != nil {
			return nil, wrap("read the table of TCP sockets", err)
		}
		for line := range strings.Lines(string(text)) {
			if addr, inode, ok := parseListener(line); ok {
				sockets[inode] = addr
			}
		}
	}
	return sockets, nil
}

// Sockets returns all listening TCP sockets of this host, sorted. A socket whose process is not readable has no PID.
func (h *Host) Sockets(ctx context.Context) ([]host.Socket, error) {
	listening, err := h.listening()
	if err != nil {
		return nil, err
	}
	processes, err := filepath.Glob(filepath.Join(h.proc, "[0-9]*"))
	if err != nil {
		return nil, wrap("list the processes", err)
	}
	holders := map[uint64]host.Socket{} // by inode
	for _, dir := range processes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		held := map[uint64]bool{}
		_ = socketsOf(filepath.Join(dir, "fd"), held)
		for inode := range held {
			if _, ok := listening[inode]; ok {
				pid, _ := strconv.Atoi(filepath.Base(dir))
				name, _ := os.ReadFile(filepath.Join(dir, "comm"))
				holders[inode] = host.Socket{PID: pid, Program: strings.Join(strings.Fields(host.Clean(string(name))), " ")} // a process can have any name
			}
		}
	}
	var all []host.Socket
	for inode, addr := range listening {
		socket := holders[inode]
		socket.Addr = addr
		all = append(all, socket)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Addr.Compare(all[j].Addr) < 0 }) // slices.SortFunc would add 13 kB of code
	return all, nil
}

// socketsOf adds the inodes of the sockets in a directory /proc/PID/fd. A process that has exited has none.
func socketsOf(dir string, inodes map[uint64]bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !gone(err) {
		return err
	}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil && !gone(err) {
			return err
		}
		text, ok := strings.CutPrefix(target, "socket:[")
		if inode, err := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 64); ok && err == nil {
			inodes[inode] = true
		}
	}
	return nil
}

func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}

// parseListener parses a line of /proc/net/tcp or tcp6 if it shows a listening socket:
//
//	sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
//	0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 …
func parseListener(line string) (addr netip.AddrPort, inode uint64, ok bool) {
	const listening = "0A"
	field := strings.Fields(line)
	if len(field) < 10 || field[3] != listening {
		return netip.AddrPort{}, 0, false
	}
	host, port, _ := strings.Cut(field[1], ":")
	raw, err := hex.DecodeString(host)
	if err != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, 0, false
	}
	for word := range slices.Chunk(raw, 4) { // the kernel prints words in the machine's own byte order
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	ip, okIP := netip.AddrFromSlice(raw)
	number, err := strconv.ParseUint(port, 16, 16)
	inode, errInode := strconv.ParseUint(field[9], 10, 64)
	if !okIP || err != nil || errInode != nil {
		return netip.AddrPort{}, 0, false
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(number)), inode, true
}
