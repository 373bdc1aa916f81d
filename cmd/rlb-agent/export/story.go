package export

import (
	"context"
	"sync"
	"time"

	"github.com/aymanbagabas/go-udiff"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/cmd/rlb-agent/page"
	"rlb.dev/rlb-agent/reconcile/events"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
)

// Limits on reading the journal for the page: only while a browser shows it, and by one command at a time.
const (
	storySince   = 24 * time.Hour
	storyEntries = 400                    // most entries that are read
	storyEvents  = 60                     // most events that are kept
	storyOld     = 3 * time.Second        // greatest age of the events
	storyPause   = 500 * time.Millisecond // shortest time between two readings
	storyShare   = 20                     // readings take at most 1/20 of the time, on a slow machine too
	storyWait    = 700 * time.Millisecond // how long a page waits for the first reading
)

// readStory reads the journal (host/debian).
type readStory func(ctx context.Context, since time.Time, most int) ([]host.JournalEntry, error)

// story holds the events of this host, as last read.
type story struct {
	mutex   sync.Mutex
	events  []events.Event
	failed  string
	at      time.Time     // end of the last reading
	took    time.Duration // duration of the last reading
	news    bool          // something has happened since
	reading chan struct{} // closed when the reading in progress ends; nil: none
}

func (s *story) get() ([]events.Event, string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.at.IsZero() {
		return nil, "the journal is being read …"
	}
	return s.events, s.failed
}

// happened records that there is something new to read.
func (s *story) happened() {
	s.mutex.Lock()
	s.news = true
	s.mutex.Unlock()
}

// read starts to read the journal if the events are old, and calls changed at the end. Before the first reading has
// ended it waits for it, for at most wait.
func (s *story) read(from readStory, changed func(), wait time.Duration) {
	s.mutex.Lock()
	first, reading, age := s.at.IsZero(), s.reading, time.Since(s.at)
	if reading == nil && (first || age >= storyOld || s.news && age >= storyPause) && age >= storyShare*s.took {
		reading = make(chan struct{})
		s.reading, s.news = reading, false
		go func() {
			s.take(from)
			close(reading)
			changed()
		}()
	}
	s.mutex.Unlock()
	if first && reading != nil && wait > 0 {
		select {
		case <-reading:
		case <-time.After(wait):
		}
	}
}

func (s *story) take(from readStory) {
	began := time.Now()
	entries, err := from(context.Background(), began.Add(-storySince), storyEntries) // has its own time limit
	last := events.Last(entries, storyEvents)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.at, s.took, s.reading = time.Now(), time.Since(began), nil
	s.events, s.failed = last, ""
	if err != nil {
		s.failed = err.Error()
	}
}

// maxCompared limits the size of specs that are compared, in bytes.
const maxCompared = 128 << 10

// compared identifies two specs.
type compared struct {
	inForce int    // generation of the spec in force
	waits   string // digest of the spec that waits
	trial   bool
}

// changes holds the difference between the spec in force and one that waits, computed once per pair.
type changes struct {
	mutex   sync.Mutex
	between compared // the pair of result
	result  []page.Change
}

// of returns what the specs would change that are not in force for good.
func (c *changes) of(ctx context.Context, config Config, s status.Status) []page.Change {
	if s.Trial == nil && s.PendingSpec == nil {
		return nil
	}
	key := compared{inForce: s.ObservedGeneration, trial: s.Trial != nil}
	if key.trial {
		key.waits = s.Trial.SpecDigest
	} else if f, err := config.Host.File(ctx, config.Spec); err == nil { // the status does not always have the digest of a refused spec
		key.waits = host.Digest(f.Data)
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.between != key {
		c.between, c.result = key, nil
		if change := compare(ctx, config, key.trial); change != (page.Change{}) {
			c.result = []page.Change{change}
		}
	}
	return c.result
}

// compare returns the difference between the spec in force and the one that is tried, or the spec file. Everyone who
// can open the page sees it, so it is shown only if everyone may read the spec file.
func compare(ctx context.Context, config Config, trial bool) page.Change {
	change := page.Change{Title: "The spec in force, and the one in " + config.Spec}
	if trial {
		change.Title = "The spec in force, and the one that is tried"
	}
	const others = 0o004
	if f, err := config.Host.File(ctx, config.Spec); err != nil || f.Mode&others == 0 {
		change.Note = "Not everybody may read the spec file, so the difference is not shown here: rlb-agent diff, as root."
		return change
	}
	var after *api.Document
	before, err := state.LastGood(ctx, config.Host)
	if err == nil && trial {
		after, err = state.TrialSpec(ctx, config.Host)
	} else if err == nil {
		after, err = config.ReadSpec()
	}
	switch {
	case err != nil || after == nil:
		return page.Change{} // the refusal says why
	case before == nil:
		change.Note = "No spec was in force before."
	case len(before.Data)+len(after.Data) > maxCompared:
		change.Note = "It is too large to be compared here: rlb-agent diff."
	default:
		change.Diff = udiff.Unified("in force", "waiting", string(before.Data), string(after.Data))
	}
	return change
}
