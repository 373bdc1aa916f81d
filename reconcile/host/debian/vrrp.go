package debian

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// keepalived writes its state, when asked by a signal, to a file in the directory for temporary files.
const (
	vrrpStateFile = "/tmp/keepalived.json"
	vrrpPatience  = 500 * time.Millisecond
)

// VRRP asks keepalived for the state of its instances (keepalived(8), SIGJSON). The signal's number is not fixed, so
// the program is asked for it, once.
func (h *Host) VRRP(ctx context.Context, pid int) ([]host.Instance, error) {
	h.vrrpMutex.Lock() // two questions at a time would share one answer
	defer h.vrrpMutex.Unlock()
	if !h.root {
		return nil, fmt.Errorf("cannot ask keepalived for its state without being root: %w", host.ErrUnavailable)
	}
	if h.vrrpSignal == 0 {
		out, err := h.do(ctx, "ask keepalived for its state", command{program: "keepalived", args: []string{"--signum=JSON"}})
		number, convErr := strconv.Atoi(strings.TrimSpace(out.stdout))
		if err := errors.Join(err, convErr); err != nil { // built without it
			return nil, fmt.Errorf("%w: %w", err, host.ErrUnavailable)
		}
		h.vrrpSignal = syscall.Signal(number)
	}
	// /tmp is open to all: what is there already is not keepalived's word
	if err := os.Remove(vrrpStateFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot ask keepalived for its state: %w", err)
	}
	if err := syscall.Kill(pid, h.vrrpSignal); err != nil {
		return nil, fmt.Errorf("cannot ask keepalived for its state: %w", err)
	}
	for deadline := time.Now().Add(vrrpPatience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		data, err := readRootFile(vrrpStateFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("cannot read keepalived's state: %w", err)
		}
		// it is written in pieces: take it when it is whole
		if instances, err := parseVRRP(data); err == nil {
			os.Remove(vrrpStateFile)
			return instances, nil
		}
	}
	return nil, fmt.Errorf("cannot get keepalived's state: %w", host.ErrNoAnswer)
}

// readRootFile reads a regular file that belongs to root, and follows no link.
func readRootFile(path string) ([]byte, error) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || stat.Uid != 0 || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not root's", path)
	}
	return os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
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
