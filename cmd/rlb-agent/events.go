package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/reconcile/events"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian"
)

// mostEntries limits how many entries of the journal are read.
const mostEntries = 20_000

// Limits on the events that a status shows: this many of the last day, from the last entries of the journal. A status
// waits at most recentLimit for them: the disk may be slow and the journal large. status --watch reads them once in
// recentPause.
const (
	recentEvents  = 5
	recentSince   = 24 * time.Hour
	recentEntries = 500
	recentLimit   = time.Second
	recentPause   = 5 * time.Second
)

// lately holds the events of the last day on this host, newest last.
type lately struct {
	at      time.Time // when the journal was read
	entries []host.JournalEntry
	events  []events.Event
	notSeen string // why the journal could not be read
}

func (l *lately) read(ctx context.Context, h *debian.Host) {
	if os.Geteuid() != 0 {
		l.notSeen = "cannot read the journal: run as root"
		return
	}
	if time.Since(l.at) < recentPause {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, recentLimit)
	defer cancel()
	entries, err := h.Story(ctx, time.Now().Add(-recentSince), recentEntries)
	*l = lately{at: time.Now()}
	if err != nil {
		l.notSeen = err.Error()
		return
	}
	l.entries, l.events = entries, events.Last(entries, recentEvents)
}

// together is how long events -f gathers entries before it prints them: the cause of a role change may come after it.
const together = 500 * time.Millisecond

// mostTold is how many events are remembered, so that none is printed twice, before the memory starts again.
const mostTold = 1000

// eventsCommand prints what happened on this host, and why.
func (a *app) eventsCommand() *cobra.Command {
	var (
		follow bool
		since  string
		form   string
	)
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what happened on this host and why, newest last",
		Example: "  rlb-agent events\n  rlb-agent events --since 10m\n  rlb-agent events --since '2026-11-26 03:00'\n" +
			"  rlb-agent events -f -o json",
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := sinceTime(since, time.Now())
			if err != nil {
				return err
			}
			write := a.writeEventLine
			switch form {
			case "text":
			case "json":
				write = a.writeEventJSON
			default:
				return usageError{fmt.Errorf("cannot print %q: -o is text or json", form)}
			}
			return a.events(cmd.Context(), from, follow, write)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what happens from now on, until Ctrl-C")
	cmd.Flags().StringVar(&since, "since", "24h", "how far back: a duration, or a time as 2006-01-02 15:04:05")
	cmd.Flags().StringVarP(&form, "output", "o", "text", "text, or json: an object a line")
	return cmd
}

func (a *app) events(ctx context.Context, since time.Time, follow bool, write func(events.Event) error) error {
	h, err := a.host()
	if err != nil {
		return err
	}
	defer h.Close()
	if !follow {
		entries, err := h.StoryWithSudo(ctx, since, mostEntries)
		if err != nil {
			return err
		}
		return writeEvents(events.Tell(entries), write)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	gathered := batch{write: write, stop: stop}
	defer gathered.flush()
	return h.FollowStory(ctx, since, gathered.add)
}

func writeEvents(all []events.Event, write func(events.Event) error) error {
	for _, e := range all {
		if err := write(e); err != nil {
			return err
		}
	}
	return nil
}

// batch gathers entries that arrive within "together" of the first.
type batch struct {
	mutex   sync.Mutex
	entries []host.JournalEntry
	told    []events.Event // the agent may log what HAProxy logged before, later than "together"
	write   func(events.Event) error
	stop    func() // called when an event cannot be written: the reader has gone
}

func (b *batch) add(e host.JournalEntry) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if len(b.entries) == 0 {
		time.AfterFunc(together, b.flush)
	}
	b.entries = append(b.entries, e)
}

func (b *batch) flush() {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	fresh := events.After(b.told, b.entries)
	if writeEvents(fresh, b.write) != nil {
		b.stop()
	}
	if b.told = append(b.told, fresh...); len(b.told) > mostTold {
		b.told = nil
	}
	b.entries = nil
}

func (a *app) writeEventLine(e events.Event) error {
	text := e.Time.Local().Format("2006-01-02 15:04:05.000") + "  " + e.Message
	if e.Cause != "" {
		text += " (" + e.Cause + ")"
	}
	_, err := fmt.Fprintln(a.stdout, text)
	return err
}

func (a *app) writeEventJSON(e events.Event) error { return json.NewEncoder(a.stdout).Encode(e) }

// sinceTime parses --since: a duration before now, or a time.
func sinceTime(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return at, nil
		}
	}
	return time.Time{}, usageError{fmt.Errorf("cannot understand --since %q: give a duration such as 2h, or a time such as 2026-11-26 03:00", text)}
}
