package logger

import (
	"context"
	"log/slog"
	"strings"
)

// Until returns a logger that drops warnings and errors with "context canceled" after ctx has ended: they result from
// the agent's stop and are not failures.
func Until(ctx context.Context, log *slog.Logger) *slog.Logger {
	return slog.New(&untilHandler{Handler: log.Handler(), ctx: ctx})
}

type untilHandler struct {
	slog.Handler
	ctx context.Context
}

func (h *untilHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn && h.ctx.Err() != nil && canceled(r) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// canceled reports whether a record has the text of context.Canceled. Most records hold the text of an error, not the
// error.
func canceled(r slog.Record) (found bool) {
	found = strings.Contains(r.Message, context.Canceled.Error())
	r.Attrs(func(a slog.Attr) bool {
		found = found || strings.Contains(a.Value.String(), context.Canceled.Error())
		return !found
	})
	return found
}

func (h *untilHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &untilHandler{Handler: h.Handler.WithAttrs(attrs), ctx: h.ctx}
}

func (h *untilHandler) WithGroup(name string) slog.Handler {
	return &untilHandler{Handler: h.Handler.WithGroup(name), ctx: h.ctx}
}
