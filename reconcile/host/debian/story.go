package debian

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
)

// storyLimit is the time limit for one read of the journal.
const storyLimit = 20 * time.Second

// fromSudo selects what the program sudo logged: which commands people ran as root.
const fromSudo = "_EXE=/usr/bin/sudo"

// storyArgs returns journalctl's arguments for the events of the load balancer. A user without privileges can send messages
// with any identifier, so a sender is identified by fields that the journal itself sets: its unit, its user or its
// program. Of HAProxy's messages only notice and above are read; below that it logs each connection.
func storyArgs(since time.Time) []string {
	args := append(journalArgs(since), "_SYSTEMD_UNIT="+host.AgentUnit, "+", "_SYSTEMD_UNIT="+host.KeepalivedUnit,
		"+", "SYSLOG_IDENTIFIER=rlb-agent", "_UID=0", "+", "_PID=1")
	for _, unit := range []string{host.AgentUnit, host.KeepalivedUnit, host.HAProxyUnit} {
		args = append(args, "UNIT="+unit)
	}
	args = append(args, "+", "_SYSTEMD_UNIT="+host.HAProxyUnit)
	for priority := range 6 {
		args = append(args, "PRIORITY="+strconv.Itoa(priority))
	}
	return args
}

// journalArgs returns the arguments for entries since a moment. Without --all, journalctl leaves out each text of more than
// 4096 octets.
func journalArgs(since time.Time) []string {
	return []string{"--quiet", "--no-pager", "--all", "-o", "json", fmt.Sprintf("--since=@%d.%06d", since.Unix(), since.Nanosecond()/1000)}
}

// Story returns the journal's last most entries about the agent, HAProxy and keepalived since a moment, the oldest first.
// It takes at most 20 s.
func (h *Host) Story(ctx context.Context, since time.Time, most int) ([]host.JournalEntry, error) {
	args := append([]string{"-n", strconv.Itoa(most)}, storyArgs(since)...)
	out, err := h.programs.Do(ctx, "read the journal", program.Command{Name: "journalctl", Args: args, Limit: storyLimit})
	if err != nil {
		return nil, err
	}
	var entries []host.JournalEntry
	err = readStory(strings.NewReader(out.Stdout), func(e host.JournalEntry) { entries = append(entries, e) })
	return entries, err
}

// StoryWithSudo is Story with the commands about the services that people ran with sudo. A host may log very many other
// commands, so that these are searched apart.
func (h *Host) StoryWithSudo(ctx context.Context, since time.Time, most int) ([]host.JournalEntry, error) {
	entries, err := h.Story(ctx, since, most)
	if err != nil {
		return nil, err
	}
	args := append([]string{"--grep=COMMAND=.*(haproxy|keepalived|rlb-agent)", "-n", strconv.Itoa(most)}, journalArgs(since)...)
	out, err := h.programs.Run(ctx, program.Command{Name: "journalctl", Args: append(args, fromSudo), Limit: storyLimit})
	if err == nil { // journalctl fails and prints nothing if there are none
		err = readStory(strings.NewReader(out.Stdout), func(e host.JournalEntry) { entries = append(entries, e) })
	}
	sort.SliceStable(entries, func(i, j int) bool { return entries[i].Time.Before(entries[j].Time) })
	return entries, err
}

// FollowStory calls each for the journal's entries from a moment on, until ctx ends.
func (h *Host) FollowStory(ctx context.Context, since time.Time, each func(host.JournalEntry)) error {
	path, err := h.programs.Find("journalctl")
	if err != nil {
		return err
	}
	cmd := program.Prepare(ctx, path, append(append([]string{"--follow", "-n", "all"}, storyArgs(since)...), "+", fromSudo)...)
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return wrap("follow the journal", err)
	}
	readErr := readStory(pipe, each)
	if err := cmd.Wait(); ctx.Err() == nil {
		if err == nil {
			err = readErr
		}
		return fmt.Errorf("cannot follow the journal: journalctl ended: %w", err)
	}
	return nil
}

// readStory parses entries in the format of journalctl -o json, one a line. It skips a line that it cannot parse: another
// program wrote that entry, and it must not hide the others.
func readStory(r io.Reader, each func(host.JournalEntry)) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if entry, ok := parseEntry(line); ok {
			each(entry)
		}
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// textOf returns the value of a field as text. A value with unprintable characters is a list of bytes. Several values of
// one field are a list too, for which textOf returns "".
func textOf(value any) string {
	list, ok := value.([]any)
	if !ok {
		text, _ := value.(string)
		return text
	}
	text := make([]byte, len(list))
	for i, octet := range list {
		number, ok := octet.(float64)
		if !ok {
			return ""
		}
		text[i] = byte(number)
	}
	return string(text)
}

// maxMessage is the length in octets to which a message is cut.
const maxMessage = 4096

func parseEntry(line []byte) (e host.JournalEntry, ok bool) {
	var fields map[string]any
	if json.Unmarshal(line, &fields) != nil {
		return e, false
	}
	text := func(name string) string { return host.Clean(textOf(fields[name])) }
	micros, err := strconv.ParseInt(text("__REALTIME_TIMESTAMP"), 10, 64)
	message := text("MESSAGE")
	if err != nil || message == "" {
		return e, false
	}
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") // without half a character at its end
	}
	e = host.JournalEntry{Time: time.UnixMicro(micros), Unit: text("_SYSTEMD_UNIT"), Message: message, Fields: map[string]string{}}
	if text("_PID") == "1" {
		e.Unit, e.Manager = text("UNIT"), true
	} else if "_EXE="+text("_EXE") == fromSudo {
		e.Unit = host.Sudo
	} else if text("SYSLOG_IDENTIFIER") == "rlb-agent" {
		e.Unit = host.AgentUnit // also a command that an administrator ran
	}
	if e.Priority, err = strconv.Atoi(text("PRIORITY")); err != nil {
		e.Priority = 6 // informational
	}
	for name := range fields {
		if own, found := strings.CutPrefix(name, "RLB_"); found {
			e.Fields[strings.ToLower(own)] = text(name)
		}
	}
	return e, true
}
