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

// VRRPAtOnce is VRRP with less patience: 120 ms, in which this process has its core.
func (h *Host) VRRPAtOnce(ctx context.Context, pid int) ([]host.Instance, error) {
	return h.vrrp(ctx, pid, func() func(time.Time) bool { return patience.New(time.Now(), patience.Hasty).Over })
}

func (h *Host) vrrp(ctx context.Context, pid int, silent func() func(time.Time) bool) ([]host.Instance, error) {
	h.vrrpMutex.Lock() // two questions at a time would share one answer: see askAlone for those of other processes
	defer h.vrrpMutex.Unlock()
	if !h.root {
		return nil, fmt.Errorf("cannot ask keepalived for its state without being root: %w", host.ErrUnavailable)
	}
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

// parseVRRP reads keepalived's state: an array of instances up to 2.2.7, and from 2.2.8 on, where json_version 2 is
// asked for, an object that holds it.
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
