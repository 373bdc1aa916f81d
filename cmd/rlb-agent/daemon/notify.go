package daemon

import (
	"fmt"
	"strings"

	sdnotify "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// notify tells systemd something of this service (sd_notify(3)). Not being under systemd is fine.
func notify(state string) {
	if !strings.HasPrefix(state, "RELOADING=1\n") {
		state, _, _ = strings.Cut(state, "\n") // further lines would be variables of their own
	}
	_, _ = sdnotify.SdNotify(false, state) // not being under systemd is fine
}

// reloading tells systemd that a reload has begun, by the clock that it wants (sd_notify(3)).
func reloading() string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return sdnotify.SdNotifyReloading
	}
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000)
}
