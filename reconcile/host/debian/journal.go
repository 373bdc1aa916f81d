package debian

import (
	"context"
	"fmt"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
)

func resultWords(result string) string {
	switch result {
	case "failed":
		return "it failed"
	case "timeout":
		return "it took too long"
	case "canceled":
		return "another job canceled it"
	case "dependency":
		return "a unit that it depends on failed"
	case "skipped", "invalid":
		return "it is not running"
	}
	return "result " + result
}

// jobFailed returns the error of a job, with the unit's messages in the journal since the job began.
func (h *Host) jobFailed(ctx context.Context, verb, name, result string, began time.Time) error {
	words := resultWords(result)
	if result == "skipped" || result == "invalid" {
		return fmt.Errorf("cannot %s %s: %s", verb, name, words)
	}
	if said := h.journal(ctx, name, began); said != "" {
		words += ": " + said
	}
	return fmt.Errorf("cannot %s %s: %s", verb, name, words)
}

// journal returns the last messages of a unit since a moment; the unit's own messages take precedence over systemd's.
func (h *Host) journal(ctx context.Context, name string, since time.Time) string {
	_, _ = h.programs.Run(ctx, program.Command{Name: "journalctl", Args: []string{"--sync"}}) // best effort
	out, err := h.programs.Run(ctx, program.Command{Name: "journalctl", Args: []string{
		"--quiet", "--no-pager", "-o", "cat", "-n", "20", "-u", name,
		fmt.Sprintf("--since=@%d.%06d", since.Unix(), since.Nanosecond()/1000)}})
	if err != nil || out.Code != 0 {
		return ""
	}
	var alerts, own strings.Builder
	for line := range strings.Lines(out.Stdout) {
		v, alert := parseHAProxy(strings.TrimSpace(line))
		switch {
		case alert:
			alerts.WriteString(placed(v) + "\n")
		case !systemdChatter(name, line) && !strings.HasPrefix(line, "["):
			own.WriteString(line)
		}
	}
	for _, said := range []string{alerts.String(), own.String()} {
		if words := program.LastWords(said); words != "" {
			return words
		}
	}
	return program.LastWords(out.Stdout)
}

func placed(v host.Verdict) string {
	if v.Path == "" || strings.Contains(v.Text, v.Path) {
		return v.Text
	}
	return fmt.Sprintf("%s:%d: %s", v.Path, v.Line, v.Text)
}

// systemdChatter says whether a line of the journal is from systemd and says only that the unit failed.
func systemdChatter(name, line string) bool {
	for _, prefix := range []string{
		"Starting ", "Started ", "Stopping ", "Stopped ", "Reloading ", "Reloaded ", "Reload failed", "Failed to start ",
		name + ": Main process exited", name + ": Control process exited", name + ": Failed with result",
		name + ": Scheduled restart job", name + ": Service RestartSec", name + ": Start request repeated",
		name + ": Service hold-off time", name + ": Consumed ", name + ": Deactivated",
	} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}
