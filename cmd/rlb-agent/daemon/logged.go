package daemon

import (
	"context"
	"errors"
	"log/slog"

	"rlb.dev/rlb-agent/reconcile"
)

// topic is the subject of a failure. Each has its own last text.
type topic int

const (
	onLock topic = iota
	onNoSpec
	onSpec
	onRun
	onDrift
)

// logged holds the text that was last logged for each topic, so that a failure is not logged again
// at every tick.
type logged struct {
	log        *slog.Logger
	lastLogged map[topic]string
}

// logOnce logs a text unless it is the last one of its topic. It also sends the text to systemd.
func (l *logged) logOnce(about topic, text string, fields ...any) (first bool) {
	return l.logOnceAs(slog.LevelError, about, text, fields...)
}

func (l *logged) logOnceAs(level slog.Level, about topic, text string, fields ...any) (first bool) {
	notify("STATUS=" + text)
	if first = text != l.lastLogged[about]; first {
		l.log.Log(context.Background(), level, text, fields...)
	}
	l.lastLogged[about] = text
	return first
}

// logError is logOnce for an error. It ignores context.Canceled: the daemon is being stopped.
func (l *logged) logError(about topic, err error) (first bool) {
	if errors.Is(err, context.Canceled) {
		return false
	}
	text, _ := reconcile.Message(err)
	return l.logOnce(about, text)
}

// clearLogged marks a failure as over: the same failure will be logged again.
func (l *logged) clearLogged(about topic) {
	if _, was := l.lastLogged[about]; was && about == onSpec {
		l.log.Info("the spec is valid again")
	}
	delete(l.lastLogged, about)
}
