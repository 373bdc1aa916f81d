package daemon

import (
	"fmt"
	"strings"

	sdnotify "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// notify sends a state to systemd (sd_notify(3)). Without systemd it does nothing.
func notify(state string) {
	if !strings.HasPrefix(state, "RELOADING=1\n") {
		state, _, _ = strings.Cut(state, "\n") // systemd would parse further lines as variables
	}
	_, _ = sdnotify.SdNotify(false, state) // fails without systemd
}

// reloading returns the message that a reload has begun, with the monotonic time in µs that
// sd_notify(3) requires.
func reloading() string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return sdnotify.SdNotifyReloading
	}
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000)
}
