package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// An Ear receives the advertisements of one identity with their arrival times, however late they are read: the kernel
// stores them with timestamps. So the program need not wake for each of them. Only one goroutine may use it.
type Ear struct {
	link    link
	id      Identity
	socket  *socket
	opened  time.Time
	frame   []byte
	control []byte
}

// Beat is an advertisement and the time at which the kernel received it.
type Beat struct {
	Advert
	At time.Time
}

const (
	// earBuffer is the size of the kernel's buffer for an Ear, in octets: some hundred frames, which arrive in a second at
	// the shortest interval. The kernel drops what a flood brings beyond that.
	earBuffer = 64 * 1024

	// mostBeats is the most that Take reads at once.
	mostBeats = 256

	// stampsSettle is how long after the opening frames can lack a receive time: the kernel starts to record it when the
	// first socket asks for it, and stamps other frames with the time at which they are read.
	stampsSettle = time.Second
)

// OpenEar starts to listen.
func OpenEar(iface string, id Identity) (*Ear, error) {
	e, err := openEar(iface, id)
	if err != nil {
		return nil, fmt.Errorf("cannot hear VRRP advertisements on %s: %w", iface, err)
	}
	return e, nil
}

func openEar(iface string, id Identity) (*Ear, error) {
	l, err := lookAt(iface)
	if err != nil {
		return nil, err
	}
	s, err := openAdverts(l, id)
	if err != nil {
		return nil, err
	}
	err = s.bound(earBuffer)
	if err == nil {
		err = s.control(func(fd int) error {
			return os.NewSyscallError("setsockopt SO_TIMESTAMPNS", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 1))
		})
	}
	if err != nil {
		s.file.Close()
		return nil, err
	}
	return &Ear{link: l, id: id, socket: s, opened: time.Now(), frame: make([]byte, 512), control: make([]byte, 64)}, nil
}

// Take returns the advertisements since the last call, the oldest first. It never waits. lost means that advertisements may
// be missing. After an error, for example when the interface goes down, the caller must close the Ear.
func (e *Ear) Take() (heard []Beat, lost bool, err error) {
	err = e.socket.control(func(fd int) (err error) {
		heard, lost, err = e.take(fd)
		return err
	})
	if err != nil {
		return nil, true, fmt.Errorf("cannot hear VRRP advertisements on %s: %w", e.link.name, err)
	}
	return heard, lost, nil
}

func (e *Ear) take(fd int) (heard []Beat, lost bool, err error) {
	settling := time.Since(e.opened) < stampsSettle
	for range mostBeats {
		n, controls, _, _, err := unix.Recvmsg(fd, e.frame, e.control, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			stats, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS) // since the last call
			return heard, lost || err != nil || stats.Drops > 0, nil
		case err != nil:
			return nil, true, err
		}
		advert, ok := parseAdvert(e.frame[:n], e.id)
		if !ok || !e.link.foreign(net.HardwareAddr(e.frame[frameSource:][:6])) {
			continue
		}
		at, stamped := stampOf(e.control[:controls])
		if !stamped || settling {
			lost = true
			continue
		}
		heard = append(heard, Beat{advert, at})
	}
	return heard, true, nil
}

// stampOf returns the kernel's timestamp of a frame (socket(7), SO_TIMESTAMPNS). It has a monotonic part, as if time.Now
// had been called then, so setting the clock does not change the intervals.
func stampOf(control []byte) (at time.Time, ok bool) {
	header, data, _, err := unix.ParseOneSocketControlMessage(control)
	if err != nil || header.Level != unix.SOL_SOCKET || header.Type != unix.SO_TIMESTAMPNS_NEW || len(data) < 16 {
		return at, false
	}
	seconds, nanoseconds := binary.NativeEndian.Uint64(data), binary.NativeEndian.Uint64(data[8:])
	now := time.Now()
	return now.Add(-now.Sub(time.Unix(int64(seconds), int64(nanoseconds)))), true
}

// Close stops listening.
func (e *Ear) Close() { e.socket.file.Close() }
