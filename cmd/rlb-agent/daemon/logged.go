package daemon

import (
	"context"
	"errors"
	"log/slog"

	"rlb.dev/rlb-agent/reconcile"
)

// topic is what a failure is about. Each has its own last text.
type topic int

const (
	onLock topic = iota
	onNoSpec
	onSpec
	onRun
	onDrift
)

// logged is what was logged last of each topic: the same is not logged at every tick.
type logged struct {
	log        *slog.Logger
	lastLogged map[topic]string
}

// logOnce logs a text unless it is the last one of its topic, and tells systemd.
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

// logError is logOnce with an error. What was canceled did not fail: the daemon is being stopped.
func (l *logged) logError(about topic, err error) (first bool) {
	if errors.Is(err, context.Canceled) {
		return false
	}
	text, _ := reconcile.Message(err)
	return l.logOnce(about, text)
}

// clearLogged ends a failure: the next one is logged again.
func (l *logged) clearLogged(about topic) {
	if _, was := l.lastLogged[about]; was && about == onSpec {
		l.log.Info("the spec is valid again")
	}
	delete(l.lastLogged, about)
}
