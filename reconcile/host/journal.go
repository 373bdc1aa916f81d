package host

import "time"

// JournalEntry is one message of the system's journal (systemd.journal-fields(7)).
type JournalEntry struct {
	Time     time.Time
	Unit     string // that sent it, or that systemd speaks of
	Manager  bool   // systemd speaks of the unit
	Message  string
	Priority int               // 0 (emergency) to 7 (debug)
	Fields   map[string]string // the agent's own: RLB_REASON is "reason"
}
