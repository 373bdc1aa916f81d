package host

import "time"

// Sudo is the Unit of what sudo logs: each command, and who ran it.
const Sudo = "sudo"

// JournalEntry is one message of the systemd journal (systemd.journal-fields(7)).
type JournalEntry struct {
	Time     time.Time
	Unit     string // the sender, or the unit that a message of systemd is about
	Manager  bool   // systemd sent the message about the unit
	Message  string
	Priority int               // 0 (emergency) to 7 (debug)
	Fields   map[string]string // the agent's own fields: RLB_REASON is "reason"
}
