// Package remote runs rlb-agent on other hosts, through the system's ssh and its configuration. It is for commands on
// an administrator's machine: the daemon calls no other host.
package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/status"
)

// Host is another host that runs rlb-agent.
type Host struct {
	Name        string // for people
	Destination string // for ssh: [user@]host
}

// Call is a call of rlb-agent on another host.
type Call struct {
	Args  []string      // see wordPattern
	Stdin []byte        // empty: none
	Limit time.Duration // how long the call may last; 0 is AskTime
}

// AskTime is the time limit of a call that changes nothing.
const AskTime = 45 * time.Second

// Answer is the result of a call that the other host has answered.
type Answer struct {
	Code           int // exit code of rlb-agent
	Stdout, Stderr string
}

// Caller calls rlb-agent on other hosts. After an error it is not known whether or how the call ended.
type Caller interface {
	Call(ctx context.Context, h Host, c Call) (Answer, error)
}

// errNoSSH: this machine has no ssh.
var errNoSSH = errors.New("cannot find ssh on this machine: install openssh-client")

// Failure is a failure on other hosts, with rlb-agent's exit code for it.
type Failure struct {
	Code int
	Err  error
}

// Error describes the failure and the state of the hosts; "" if the printed output says it already.
func (f *Failure) Error() string {
	if f.Err == nil {
		return ""
	}
	return f.Err.Error()
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// destination matches ssh's [user@]host: a name, an alias of its configuration, or an address. It matches no option,
// and nothing that ssh or a shell would expand. The pattern is large, so it is compiled only when another host is
// called.
var destination = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9._-]{0,63}@)?[A-Za-z0-9_][A-Za-z0-9._:-]{0,252}$`)
})

// Hosts returns the hosts of these destinations. It refuses a destination that is given twice.
func Hosts(destinations []string) ([]Host, error) {
	var hosts []Host
	seen := map[string]bool{}
	for _, d := range destinations {
		switch {
		case !destination().MatchString(d):
			return nil, fmt.Errorf("cannot use %q as a host: it is a name or an address, as ssh takes it: lb1 or root@192.168.3.241", d)
		case seen[d]:
			return nil, fmt.Errorf("cannot use host %s twice", d)
		}
		seen[d] = true
		hosts = append(hosts, Host{Name: d, Destination: d})
	}
	return hosts, nil
}

// Each calls do for all entries of a list concurrently, and waits for all. i is the index of the entry.
func Each[T any](list []T, do func(i int, entry T)) {
	var all sync.WaitGroup
	for i, entry := range list {
		all.Go(func() { do(i, entry) })
	}
	all.Wait()
}

// Status asks rlb-agent on a host for its status.
func Status(ctx context.Context, c Caller, h Host) (s status.Status, err error) {
	answer, err := c.Call(ctx, h, Call{Args: []string{"status", "-o", "json"}})
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal([]byte(answer.Stdout), &s); err != nil || s.Kind != "LoadBalancerStatus" {
		return s, fmt.Errorf("cannot read the status of %s: exit code %d: %s", h.Name, answer.Code, Brief(answer))
	}
	return s, nil
}

// Prefixed puts a prefix before each line of another host's text and removes terminal control characters.
func Prefixed(prefix, text string) string {
	var b strings.Builder
	for line := range strings.Lines(host.Clean(text)) {
		b.WriteString(prefix + strings.TrimSuffix(line, "\n") + "\n")
	}
	return b.String()
}

// Brief returns the error text of an answer in one line.
func Brief(a Answer) string {
	text := strings.TrimSpace(host.Clean(a.Stderr))
	if text == "" {
		text = strings.TrimSpace(host.Clean(a.Stdout))
	}
	if _, own, found := strings.Cut("\n"+text, "\nrlb-agent: "); found {
		text = own
	}
	if text == "" {
		return "it said nothing"
	}
	return Line(text)
}

// maxLine is the longest line of another host that is shown, in bytes.
const maxLine = 2000

// Line is host.Line, cut after maxLine bytes.
func Line(text string) string {
	if text = host.Line(text); len(text) > maxLine {
		text = strings.ToValidUTF8(text[:maxLine], "") + "…"
	}
	return text
}
