package state

import (
	"context"
	"log/slog"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// quietRestore is for how long the next restoring of the same file is not logged.
const quietRestore = time.Minute

// Mirror remembers what the derived files held, and writes again those that somebody removes or garbles while the
// daemon runs. Without it only a reload would tell what a service has loaded, and only the next failover the role.
// The status, which can be large, is not remembered: its owner makes it anew. It is for one goroutine.
type Mirror struct {
	Host host.Host
	Log  *slog.Logger

	last   map[string][]byte    // content by path, as it was seen last
	logged map[string]time.Time // when a restoring was logged
}

// Look reads the derived files, remembers those that are whole, and restores the others. statusLost says that the
// status must be made anew.
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

// restore writes a file as it was seen last. One that was never seen is made when there is something to say.
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
