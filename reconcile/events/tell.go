package events

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// tell is the event of one entry. ok is false if the entry is of no interest.
func tell(e host.JournalEntry) (Event, bool) {
	event := Event{Time: e.Time}
	switch {
	case e.Manager:
		event.Kind, event.Message = Program, unitEvent(e.Unit, e.Message)
	case e.Unit == host.Sudo:
		event.Kind, event.Message = Command, sudoEvent(e.Message)
	case e.Unit == host.KeepalivedUnit:
		event.Kind = Role
		event.state, event.Message = roleEvent(e.Message)
	case e.Unit == host.HAProxyUnit:
		event.Kind = Server
		event.about, event.state, event.Message = serverEvent(e.Message)
	case e.Unit == host.AgentUnit:
		event.Kind, event.Message, event.Cause = agentEvent(e)
		if event.Kind == Server {
			event.about, event.state = e.Fields["service"]+"/"+e.Fields["server"], e.Fields["state"]
		}
	}
	return event, event.Message != ""
}

// roleLine is keepalived's line of a change of role: "(HA-CLUSTER) Entering MASTER STATE" (keepalived, vrrp_scheduler.c).
var roleLine = regexp.MustCompile(`^(?:VRRP_Instance)?\(([^)]+)\) Entering (MASTER|BACKUP|FAULT) STATE`)

// answer is how keepalived's line of a question begins.
const answer = "Printing VRRP"

// RoleUnchanged says whether the entries, the oldest first, show that keepalived's role has not changed since a time: they
// reach back to it, and keepalived logged answers, so that it does log, and nothing else.
func RoleUnchanged(entries []host.JournalEntry, since time.Time) bool {
	if len(entries) == 0 || entries[0].Time.After(since) {
		return false
	}
	answers := false
	for _, e := range entries {
		if e.Unit != host.KeepalivedUnit || e.Time.Before(since) {
			continue
		}
		if !strings.HasPrefix(e.Message, answer) {
			return false
		}
		answers = true
	}
	return answers
}

func roleEvent(message string) (role, text string) {
	found := roleLine.FindStringSubmatch(message)
	if found == nil {
		return "", ""
	}
	return found[2], map[string]string{
		"MASTER": "took the virtual IPs (MASTER)",
		"BACKUP": "stands by (BACKUP)",
		"FAULT":  "may not hold the virtual IPs (FAULT)",
	}[found[2]]
}

// adverts are keepalived's lines about advertisements that make it change its role.
var adverts = []struct {
	line *regexp.Regexp
	text string
}{
	{regexp.MustCompile(`(?i)backup received priority 0 advertisement`), "another host gave the virtual IPs up"},
	{regexp.MustCompile(`(?i)receive advertisement timeout`), "the advertisements of the host that held them stopped"},
	{regexp.MustCompile(`(?i)master received advert .*same priority`), "another host with the same priority and a higher address advertised too"},
	{regexp.MustCompile(`(?i)master received advert .*(?:higher priority|from )`), "another host advertises a higher priority"},
	{regexp.MustCompile(`(?i)received (?:lower|higher) (?:priority|prio).* advert`), "two hosts advertised; the better one stays MASTER"},
}

func advertisement(message string) string {
	for _, a := range adverts {
		if a.line.MatchString(message) {
			return a.text
		}
	}
	return ""
}

// units are the names of the units for people.
var units = map[string]string{host.HAProxyUnit: "HAProxy", host.KeepalivedUnit: "keepalived", host.AgentUnit: "rlb-agent"}

var exited = regexp.MustCompile(`Main process exited, code=(\w+), status=(\S+)`)

// unitEvent is what systemd logs about a unit, "" for a line of no interest.
func unitEvent(unit, message string) string {
	name := units[unit]
	if name == "" {
		return ""
	}
	rest := strings.TrimPrefix(message, unit+": ")
	switch {
	case strings.HasPrefix(message, "Started "):
		return name + " was started"
	case strings.HasPrefix(message, "Stopping "):
		return name + " was stopped"
	case strings.HasPrefix(message, "Reloaded "):
		return name + " was reloaded"
	case strings.HasPrefix(message, "Reload failed for "):
		return name + ": the reload failed"
	case strings.HasPrefix(message, "Failed to start "):
		return name + " could not be started"
	case strings.HasPrefix(rest, "Scheduled restart job"):
		return name + " is restarted by systemd"
	}
	if found := exited.FindStringSubmatch(rest); found != nil && found[2] != "0/SUCCESS" {
		return fmt.Sprintf("%s died (%s, %s)", name, found[1], found[2])
	}
	return ""
}

// sudoLine is sudo's line of a command that changes the state of the services (sudoers(5), LOG FORMAT). A command that was
// refused has a reason before the first field. Only the last field, COMMAND, may contain spaces.
var sudoLine = regexp.MustCompile(`^ *(\S+) : (?:(?:TTY|PWD|USER|GROUP|TSID)=\S+ ; )+COMMAND=/\S*/` +
	`((?:systemctl (?:.* )?(?:stop|restart|try-restart|reload|kill|mask)|p?kill|killall) (?:.*\W)?(?:haproxy|keepalived|rlb-agent)\b.*|` +
	`service (?:haproxy|keepalived|rlb-agent) (?:stop|restart|reload))$`)

func sudoEvent(message string) string {
	if found := sudoLine.FindStringSubmatch(message); found != nil {
		return found[1] + " ran " + found[2] + " with sudo"
	}
	return ""
}

// HAProxy's lines about servers: HAProxy management guide section 9.3, src/server.c srv_append_status.
var (
	serverLine = regexp.MustCompile(`^(?:\[\w+\]\s*\(\d+\)\s*:\s*)?Server ([^/\s]+)/(\S+) (?:is|was) (UP|DOWN|stopping|NOLB|now \S+)(.*)$`)
	noServer   = regexp.MustCompile(`backend '?([^'\s]+)'? has no server available`)
	reasonText = regexp.MustCompile(`reason: ([^,]+)(?:, code: (\d+))?(?:, info: "([^"]*)")?`)
)

// serverEvent is what HAProxy logs about a server ("service/server") or about all servers of a service ("service/").
func serverEvent(message string) (about, state, text string) {
	message = strings.TrimSpace(message)
	if found := noServer.FindStringSubmatch(message); found != nil {
		return found[1] + "/", "DOWN", "service " + found[1] + ": all servers are down"
	}
	found := serverLine.FindStringSubmatch(message)
	if found == nil {
		return "", "", ""
	}
	is := map[string]string{"UP": "is up", "DOWN": "is down", "stopping": "gets no new connections"}[found[3]]
	if is == "" {
		is = "is " + found[3]
	}
	text = fmt.Sprintf("service %s: server %s %s", found[1], found[2], is)
	if why := reasonText.FindStringSubmatch(found[4]); why != nil {
		text += ": " + why[1]
		if why[2] != "" {
			text += ", status " + why[2]
		}
		if why[3] != "" {
			text += ", " + why[3]
		}
	}
	if state = found[3]; state == "stopping" {
		state = "NOLB" // the name in HAProxy's statistics, which the agent reads
	}
	return found[1] + "/" + found[2], state, text
}

// agentEvent is an entry of the agent itself. The fields of the entry say what it is about.
func agentEvent(e host.JournalEntry) (Kind, string, string) {
	const info = 6
	switch {
	case e.Fields["command"] != "", e.Fields["trial"] != "":
		return Command, e.Message, ""
	case e.Fields["service"] != "" && e.Fields["state"] != "":
		return Server, e.Message, ""
	case e.Fields["step"] != "":
		return Change, e.Fields["step"], e.Fields["reason"]
	case strings.HasPrefix(e.Message, "entering FAULT: "), strings.HasPrefix(e.Message, "leaving FAULT: "):
		return Health, e.Message, ""
	case strings.Contains(e.Message, "refused"), strings.HasPrefix(e.Message, "undoing"):
		return Refusal, e.Message, ""
	case e.Priority < info:
		return Notice, e.Message, ""
	}
	return "", "", ""
}
