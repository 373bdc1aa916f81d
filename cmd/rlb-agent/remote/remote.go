// Package remote runs rlb-agent on other hosts, through the system's ssh and its configuration. It is for the command
// line on the machine of an administrator: the daemon calls nobody.
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

// AskTime is how long a call lasts at most that only asks.
const AskTime = 45 * time.Second

// Answer is how a call ended that the other host has answered.
type Answer struct {
	Code           int // exit code of rlb-agent
	Stdout, Stderr string
}

// Caller calls rlb-agent on other hosts. An error says that it is not known whether or how the call ended.
type Caller interface {
	Call(ctx context.Context, h Host, c Call) (Answer, error)
}

// errNoSSH says that this machine has no ssh.
var errNoSSH = errors.New("cannot find ssh on this machine: install openssh-client")

// Failure is why something failed on other hosts, with the exit code that rlb-agent has for it.
type Failure struct {
	Code int
	Err  error
}

// Error is what went wrong, and how the hosts are now; "" where what was printed says it.
func (f *Failure) Error() string {
	if f.Err == nil {
		return ""
	}
	return f.Err.Error()
}

// Unwrap is what went wrong.
func (f *Failure) Unwrap() error { return f.Err }

// destination is what ssh takes as [user@]host: a name, an alias of its configuration, or an address. It is no option, and
// no shell or ssh reads anything else into it. So large a pattern is compiled by who calls other hosts.
var destination = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9._-]{0,63}@)?[A-Za-z0-9_][A-Za-z0-9._:-]{0,252}$`)
})

// Hosts are the hosts of these destinations, each once.
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

// Each does something with all of a list at once, and returns when all of it is done. Index i is the entry's.
func Each[T any](list []T, do func(i int, entry T)) {
	var all sync.WaitGroup
	for i, entry := range list {
		all.Go(func() { do(i, entry) })
	}
	all.Wait()
}

// Status is what rlb-agent on that host says of it.
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

// Prefixed is a text of another host, each line with its name before it and without characters that steer a terminal.
func Prefixed(h Host, text string) string {
	var b strings.Builder
	for line := range strings.Lines(host.Clean(text)) {
		b.WriteString(h.Name + ": " + strings.TrimSuffix(line, "\n") + "\n")
	}
	return b.String()
}

// Brief is what another host said of a failure, in one line.
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
	return host.Line(text)
}
