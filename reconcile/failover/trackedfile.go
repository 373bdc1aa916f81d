package failover

import (
	"context"
	"time"

	"rlb.dev/rlb-agent/render"
)

// repairPause is the shortest time between two repairs of the tracked file. If another program changes the file repeatedly,
// the agent writes it at most 20 times a second.
const repairPause = 50 * time.Millisecond

// trackedFile is the file that tells keepalived whether this host is in FAULT (keepalived.conf(5), track_file). Only health
// writes it.
type trackedFile struct {
	host     Host
	written  bool // the agent has written the file since keepalived began to track it
	fault    bool // the fault flag written last
	repaired time.Time
}

// write writes the fault flag to the file.
func (t *trackedFile) write(fault bool) error {
	if err := t.host.TellKeepalived(fault); err != nil {
		return err
	}
	t.written, t.fault = true, fault
	return nil
}

// changed says whether the file differs from what was written to it.
func (t *trackedFile) changed(ctx context.Context) bool {
	if !t.written {
		return false
	}
	file, err := t.host.File(ctx, render.FaultFile)
	return err != nil || !file.Exists || string(file.Data) != render.TrackedText(t.fault)
}

// repair writes the file again if another program changed or removed it. again is how long a necessary repair must wait, or
// 0.
func (t *trackedFile) repair(ctx context.Context) (repaired bool, again time.Duration, err error) {
	if !t.changed(ctx) {
		return false, 0, nil
	}
	if left := time.Until(t.repaired.Add(repairPause)); left > 0 {
		return false, left, nil
	}
	t.repaired = time.Now()
	err = t.write(t.fault)
	return err == nil, 0, err
}
