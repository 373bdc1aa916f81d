// Package haproxy asks a HAProxy that runs, and gives it commands: by the stats socket, the socket of its health frontend
// and its master's socket (management guide §9.3, §9.4). It keeps nothing, and changes nothing but HAProxy.
//
// Its errors begin with "cannot …" and end with HAProxy's own words.
package haproxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// masterPatience is how long HAProxy's master may take to answer. While it begins anew for a reload nobody listens on
// its socket, and a reload that fails to bind takes it two seconds. One that reads a large file takes longer: who needs
// the answer asks again.
const masterPatience = 4 * time.Second

// Workers are HAProxy's processes as its master tells them. A master that is in the middle of a reload is waited for.
func Workers(ctx context.Context, masterSocket string) (host.Workers, error) {
	const do = "ask HAProxy's master for its workers"
	patient, cancel := context.WithTimeout(ctx, masterPatience)
	defer cancel()
	for refused := error(nil); ; {
		text, err := ask(patient, masterSocket, "show proc\n")
		if refused != nil && patient.Err() != nil && ctx.Err() == nil {
			err = refused // says more than that time is up
		}
		restarting := errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
			err == nil && text == ""
		if restarting {
			select {
			case <-time.After(20 * time.Millisecond):
				refused = err
				continue
			case <-patient.Done():
			}
		}
		if err != nil {
			err = fmt.Errorf("cannot %s: %w", do, err)
			if restarting || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
				return host.Workers{}, host.Unavailable(err.Error(), err)
			}
			return host.Workers{}, err
		}
		w, ok := parseProc(text)
		if !ok {
			return host.Workers{}, fmt.Errorf("cannot %s: unexpected answer %q", do, text[:min(len(text), 200)])
		}
		return w, nil
	}
}

var (
	failedReloads = regexp.MustCompile(`\[failed: (\d+)\]`)
	oldWorker     = regexp.MustCompile(`^\d+\s+worker\s+(?:\[was: \d+\]\s+)?(\d+)`) // and the reloads since it began
)

// parseProc reads the answer to "show proc": a heading, the master's line, and the workers below "# workers" and
// "# old workers". After a failed reload HAProxy before 2.5, and 3.1 and newer, call all workers old, though the youngest of
// them accepts connections. Those before 2.5 have one column more, and do not tell that it failed. Programs (up to 3.2)
// are not our business.
func parseProc(text string) (w host.Workers, ok bool) {
	section := ""
	reloads := make(map[int]int) // since an old worker began
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if heading, isHeading := strings.CutPrefix(line, "# "); isHeading {
			section = heading
			continue
		}
		field := strings.Fields(line)
		if len(field) < 2 || strings.HasPrefix(line, "#") {
			continue
		}
		pid, err := strconv.Atoi(field[0])
		if err != nil {
			return host.Workers{}, false
		}
		switch {
		case field[1] == "master":
			ok = true
			if m := failedReloads.FindStringSubmatch(line); m != nil {
				w.Failed, _ = strconv.Atoi(m[1]) // digits
			}
		case field[1] == "worker" && section == "workers":
			w.Current = append(w.Current, pid)
		case field[1] == "worker" && section == "old workers":
			w.Old = append(w.Old, pid)
			if m := oldWorker.FindStringSubmatch(line); m != nil {
				reloads[pid], _ = strconv.Atoi(m[1]) // digits
			}
		}
	}
	if len(w.Current) == 0 && len(reloads) > 0 {
		w.Failed = max(w.Failed, 1)
		youngest := slices.Min(slices.Collect(maps.Values(reloads)))
		accepts := func(pid int) bool { return reloads[pid] == youngest }
		w.Current = slices.DeleteFunc(slices.Clone(w.Old), func(pid int) bool { return !accepts(pid) })
		w.Old = slices.DeleteFunc(w.Old, accepts)
	}
	return w, ok
}
