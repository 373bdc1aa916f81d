package status

import (
	"context"
	"fmt"
	"time"

	"rlb.dev/rlb-agent/reconcile/headroom"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// Headroom says how close the last hour came to an unnecessary takeover. Durations have the form of Go: "31ms".
type Headroom struct {
	Interval    headroom.Span `json:"interval"`                      // between two advertisements, from the spec in force
	Allowed     headroom.Span `json:"allowed"`                       // the silence after which this host takes over
	WorstGap    headroom.Span `json:"worstGap,omitempty"`            // longest time between two advertisements of the master; absent if none were heard
	WorstGapAt  time.Time     `json:"worstGapAt,omitzero"`           // end of the worst gap
	WorstLate   headroom.Span `json:"worstLate"`                     // longest delay of a timer of the agent
	Minutes     int           `json:"minutes"`                       // of the last hour, in which advertisements were heard
	Recommended headroom.Span `json:"recommendedInterval,omitempty"` // absent if too little was heard, and with VRRP version 2
	Narrow      bool          `json:"narrow,omitempty"`              // the worst gap used up nearly all of the allowed time
}

// headroom fills in what the daemon measured.
func (r *reading) headroom(ctx context.Context, s *Status) {
	s.Headroom = nil
	m, err := state.ReadHeadroom(ctx, r.o)
	r.note("how late advertisements are", err)
	if m.Alive(time.Now()) {
		s.Headroom = &Headroom{m.Interval, m.Allowed, m.WorstGap, m.WorstGapAt.Truncate(time.Second), m.WorstLate, m.Minutes, m.Recommended(), m.Narrow()}
	}
}

func headroomRows(s Status) []Row {
	h := s.Headroom
	if h == nil {
		return nil
	}
	r := Row{Label: "Headroom", Text: fmt.Sprintf("worst gap %v of %v allowed, in the last hour", h.WorstGap, h.Allowed), Mood: moodOf(!h.Narrow)}
	switch {
	case h.WorstGap == 0 && s.Role == host.RoleMaster:
		r.Text, r.Mood = "the standby measures the gaps between advertisements", Plain
	case h.WorstGap == 0:
		r.Text, r.Mood = "no advertisements heard in the last hour", Plain
	}
	r.Text += fmt.Sprintf("; timers here late by %v at most", h.WorstLate)
	switch {
	case h.Recommended > h.Interval:
		r.Text += fmt.Sprintf("; advertisementInterval: %v is recommended", time.Duration(h.Recommended))
	case h.Recommended > 0 && h.Recommended < h.Interval:
		r.Text += fmt.Sprintf("; advertisementInterval: %v would do", time.Duration(h.Recommended))
	}
	return []Row{r}
}
