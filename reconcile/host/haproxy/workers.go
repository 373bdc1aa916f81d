// Package haproxy queries and commands a running HAProxy through the stats socket, the socket of its health frontend and
// its master's socket (management guide §9.3, §9.4). It keeps no state and changes nothing but HAProxy.
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

// masterPatience is the time limit for an answer of HAProxy's master. While the master re-executes itself for a reload
// nothing listens on its socket, and a reload that fails to bind takes two seconds. Reading a large file takes longer: a
// caller that needs the answer asks again.
const masterPatience = 4 * time.Second

// Workers returns HAProxy's processes as its master reports them. If the master is in the middle of a reload, Workers waits
// for it.
func Workers(ctx context.Context, masterSocket string) (host.Workers, error) {
	const do = "ask HAProxy's master for its workers"
	patient, cancel := context.WithTimeout(ctx, masterPatience)
	defer cancel()
	for refused := error(nil); ; {
		text, err := ask(patient, masterSocket, "show proc\n")
		if refused != nil && patient.Err() != nil && ctx.Err() == nil {
			err = refused // says more than a timeout
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
	oldWorker     = regexp.MustCompile(`^\d+\s+worker\s+(?:\[was: \d+\]\s+)?(\d+)`) // and the reloads since its start
)

// parseProc parses the answer to "show proc": a heading, the master's line, and the workers below "# workers" and "# old
// workers". After a failed reload HAProxy before 2.5, and 3.1 and newer, lists all workers as old, although the youngest of
// them accepts connections. HAProxy before 2.5 has one more column and does not report the failure. Programs (up to 3.2)
// are ignored.
func parseProc(text string) (w host.Workers, ok bool) {
	section := ""
	reloads := make(map[int]int) // since an old worker started
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
