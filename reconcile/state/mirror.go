package state

import (
	"context"
	"log/slog"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// quietRestore is how long a further restore of the same file is not logged.
const quietRestore = time.Minute

// Mirror keeps the content of the derived files in memory. It writes a file again if it is removed or damaged while the
// daemon runs. Without the Mirror, only a reload would show what a service has loaded, and only the next failover the role.
// The status can be large and is not kept: its owner makes it again. A Mirror is for one goroutine.
type Mirror struct {
	Host host.Host
	Log  *slog.Logger

	last   map[string][]byte    // content by path, when it was last read
	logged map[string]time.Time // time of the last logged restore
}

// Look reads the derived files, keeps the content of the good ones, and restores the others. statusLost means that the
// status must be made again.
func (m *Mirror) Look(ctx context.Context) (statusLost bool) {
	if m.last == nil {
		m.last, m.logged = map[string][]byte{}, map[string]time.Time{}
	}
	for _, p := range Paths {
		if p.form == nil {
			continue
		}
		f, damage := p.damage(ctx, m.Host)
		switch {
		case ctx.Err() != nil:
			return false
		case p.Path == StatusFile:
			statusLost = damage != nil || !f.Exists
		case damage == nil && f.Exists:
			m.last[p.Path] = f.Data
		case damage == nil && p.optional: // its writer may have removed it
			delete(m.last, p.Path)
		default:
			m.restore(ctx, p.Path, damage)
		}
	}
	return statusLost
}

// restore writes the last good content of a file. If there is none, the file is left to its writer.
func (m *Mirror) restore(ctx context.Context, path string, damage error) {
	data, known := m.last[path]
	err := damage
	if damage != nil {
		err = m.Host.RemoveTree(ctx, path)
	}
	if known && err == nil {
		err = m.Host.WriteFile(ctx, path, data, 0o600, 0, 0)
	}
	if !known && damage == nil || time.Since(m.logged[path]) < quietRestore {
		return
	}
	m.logged[path] = time.Now()
	switch {
	case err != nil:
		m.Log.Warn("cannot restore "+path, "err", err)
	case damage != nil:
		m.Log.Warn("restored "+path, "err", damage)
	default:
		m.Log.Warn("restored " + path + ", which somebody removed")
	}
}
