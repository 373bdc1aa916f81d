// Package logger writes the log: as lines for people, as JSON, or to the journal.
package logger

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/coreos/go-systemd/v22/journal"

	"rlb.dev/rlb-agent/cmd/rlb-agent/terminal"
	"rlb.dev/rlb-agent/reconcile/host"
)

// New returns a logger to w or, with fields, to the journal. format is text, json or journal; "" is journal under
// systemd, else text. level is debug, info, warn or error.
func New(w io.Writer, format, level string) (*slog.Logger, error) {
	var min slog.Level
	if err := min.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("cannot understand --log-level %q: it is debug, info, warn or error", level)
	}
	if format == "" {
		format = "text"
		if os.Getenv("JOURNAL_STREAM") != "" && journal.Enabled() {
			format = "journal"
		}
	}
	switch format {
	case "text":
		return slog.New(&lineHandler{min: min, write: writeLine(w)}), nil
	case "journal":
		return slog.New(&lineHandler{min: min, write: ToJournal}), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: min})), nil
	}
	return nil, fmt.Errorf("cannot understand --log-format %q: it is text, json or journal", format)
}

// lineHandler passes each record to write as one message with its attributes.
type lineHandler struct {
	min   slog.Level
	write func(slog.Level, string, []slog.Attr) error
	attrs []slog.Attr
}

func (h *lineHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.min }

func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	attrs := append([]slog.Attr{}, h.attrs...)
	r.Attrs(func(a slog.Attr) bool { attrs = append(attrs, a); return true })
	return h.write(r.Level, r.Message, attrs)
}

func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &lineHandler{min: h.min, write: h.write, attrs: append(append([]slog.Attr{}, h.attrs...), attrs...)}
}

func (h *lineHandler) WithGroup(string) slog.Handler { return h }

// writeLine writes lines for people: without a time, with a level from warning on.
func writeLine(w io.Writer) func(slog.Level, string, []slog.Attr) error {
	var mu sync.Mutex
	onTerminal := terminal.Is(w)
	return func(level slog.Level, message string, attrs []slog.Attr) error {
		var b strings.Builder
		if level >= slog.LevelWarn {
			b.WriteString(strings.ToLower(level.String()) + ": ")
		}
		b.WriteString(message)
		for _, a := range attrs {
			switch value := a.Value.String(); a.Key {
			case "step": // the message has it
			case "reason":
				b.WriteString(because(message, value))
			case "took":
				fmt.Fprintf(&b, " (%s)", value)
			default:
				fmt.Fprintf(&b, " %s=%s", a.Key, value)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if onTerminal {
			_, _ = io.WriteString(terminal.Raw(w), terminal.EraseLine) // erases progress; the next write reports any error
		}
		_, err := fmt.Fprintln(w, b.String())
		return err
	}
}

// ToJournal sends a message to the journal, with its attributes as fields: RLB_ and the key in upper case
// (systemd.journal-fields(7)).
func ToJournal(level slog.Level, message string, attrs []slog.Attr) error {
	message, priority, fields := entry(level, message, attrs)
	return journal.Send(message, priority, fields)
}

// entry returns the message for the journal. With OBJECT_SYSTEMD_UNIT, journalctl -u also shows messages that root
// writes about the unit from elsewhere, such as a shell. It shows the unit's own messages only once all the same.
func entry(level slog.Level, message string, attrs []slog.Attr) (string, journal.Priority, map[string]string) {
	priority := journal.PriInfo
	switch {
	case level >= slog.LevelError:
		priority = journal.PriErr
	case level >= slog.LevelWarn:
		priority = journal.PriWarning
	case level < slog.LevelInfo:
		priority = journal.PriDebug
	}
	fields := map[string]string{"SYSLOG_IDENTIFIER": "rlb-agent", "OBJECT_SYSTEMD_UNIT": host.AgentUnit}
	for _, a := range attrs {
		value := a.Value.String()
		switch fields["RLB_"+strings.ToUpper(a.Key)] = value; a.Key {
		case "err", "cause":
			message += ": " + value
		case "reason":
			message += because(message, value)
		case "took":
			message += " (" + value + ")"
		}
	}
	return message, priority, fields
}

// because appends a reason to a message, unless the message begins with it.
func because(message, reason string) string {
	if reason == "" || strings.HasPrefix(message, reason) {
		return ""
	}
	return ": " + reason
}
