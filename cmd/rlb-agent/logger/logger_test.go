package logger

import (
	"log/slog"
	"testing"
)

// TestEntryOfTheUnit: a command in a shell runs in the unit of the session; journalctl -u rlb-agent finds its
// messages by this field.
func TestEntryOfTheUnit(t *testing.T) {
	message, _, fields := entry(slog.LevelWarn, "root ran rlb-agent drain", []slog.Attr{slog.String("err", "no"), slog.String("by", "root")})
	if message != "root ran rlb-agent drain: no" || fields["OBJECT_SYSTEMD_UNIT"] != "rlb-agent.service" || fields["SYSLOG_IDENTIFIER"] != "rlb-agent" || fields["RLB_BY"] != "root" {
		t.Errorf("%q with %v", message, fields)
	}
}
