package debian

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"syscall"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/patience"
)

// VRRP asks keepalived for the state of its instances.
func (h *Host) VRRP(ctx context.Context, pid int) ([]host.Instance, error) {
	return h.vrrp(ctx, pid, within(dumpPatience))
}

// VRRPAtOnce is like VRRP with a shorter limit: 120 ms in which this process was not stalled.
func (h *Host) VRRPAtOnce(ctx context.Context, pid int) ([]host.Instance, error) {
	return h.vrrp(ctx, pid, func() func(time.Time) bool { return patience.New(time.Now(), patience.Hasty).Over })
}

func (h *Host) vrrp(ctx context.Context, pid int, silent func() func(time.Time) bool) ([]host.Instance, error) {
	if !h.root {
		return nil, fmt.Errorf("cannot ask keepalived for its state without being root: %w", host.ErrUnavailable)
	}
	if err := h.takeTurn(pid, silent); err != nil {
		return nil, fmt.Errorf("cannot get keepalived's state: %w", err)
	}
	defer h.vrrpMutex.Unlock()
	signal, err := h.stateSignal(ctx)
	if err != nil {
		return nil, err
	}
	var instances []host.Instance
	err = h.dump(pid, silent, func() error { return syscall.Kill(pid, signal) }, func(data []byte) bool {
		var err error
		instances, err = parseVRRP(data)
		return err == nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot get keepalived's state: %w", err)
	}
	return instances, nil
}

// A silence is the time in which keepalived has not answered a query, up to the last check for its answer.
type silence struct {
	pid         int
	asked, look time.Time
}

// takeTurn waits for the end of another query, which would share its answer with this one (askAlone does that for other
// processes). keepalived's silence to the other query counts for this one too: a query for the status may have just begun,
// and its limit is longer than the time in which a second master must give up.
func (h *Host) takeTurn(pid int, silent func() func(now time.Time) bool) error {
	var asked time.Time // start of the other query
	var over func(now time.Time) bool
	for !h.vrrpMutex.TryLock() {
		switch s := h.silence.Load(); {
		case s == nil || s.pid != pid:
			asked = time.Time{}
		case s.asked != asked:
			asked, over = s.asked, silent()
		case over(s.look):
			return host.ErrNoAnswer
		}
		time.Sleep(patience.Tick)
	}
	return nil
}

// parseVRRP parses keepalived's state: an array of instances up to 2.2.7, and from 2.2.8 on, if json_version 2 is
// configured, an object that contains the array.
func parseVRRP(data []byte) ([]host.Instance, error) {
	type instance struct {
		Data struct {
			Name           string  `json:"iname"`
			State          int     `json:"state"`
			LastTransition float64 `json:"last_transition"` // seconds since 1970
		} `json:"data"`
	}
	var list []instance
	if err := json.Unmarshal(data, &list); err != nil {
		var named struct {
			VRRP []instance `json:"vrrp"`
		}
		if err := json.Unmarshal(data, &named); err != nil {
			return nil, err
		}
		list = named.VRRP
	}
	// vrrp.h: VRRP_STATE_INIT 0, BACK 1, MAST 2, FAULT 3
	roles := map[int]host.Role{1: host.RoleBackup, 2: host.RoleMaster, 3: host.RoleFault}
	var instances []host.Instance
	for _, i := range list {
		role, known := roles[i.Data.State]
		if !known {
			role = host.RoleUnknown
		}
		seconds, fraction := math.Modf(i.Data.LastTransition)
		instances = append(instances, host.Instance{
			Name: i.Data.Name, Role: role, Since: time.Unix(int64(seconds), int64(fraction*1e9)).Truncate(time.Millisecond),
		})
	}
	return instances, nil
}
