// Package netfilter reads and loads the packet filter of a machine with iptables and nft.
package netfilter

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
	"rlb.dev/rlb-agent/render"
)

// Tables is the packet filter of this machine. It implements the host's FirewallReader and FirewallWriter.
type Tables struct {
	programs *program.Runner
	effect   host.Effect
	root     bool   // this process runs as root
	proc     string // path of /proc
}

// New returns the packet filter of this machine. It accesses nothing.
func New(programs *program.Runner, effect host.Effect) *Tables {
	return &Tables{programs: programs, effect: effect, root: os.Geteuid() == 0, proc: "/proc"}
}

// Firewall returns the state of the filter table's INPUT chain and of the agent's own chain.
func (t *Tables) Firewall(ctx context.Context, family api.Family) (host.Firewall, error) {
	do := "read the " + family.String() + " firewall"
	if err := t.canFirewall(do, family); err != nil {
		return host.Firewall{}, err
	}
	out, err := t.programs.Do(ctx, do, program.Command{Name: tool(family, "save"), Args: []string{"-t", "filter"}})
	if err != nil {
		return host.Firewall{}, err
	}
	return parseSave(out.Stdout), nil
}

// LoadFirewall adds rules to the existing ones, all of them or none.
func (t *Tables) LoadFirewall(ctx context.Context, family api.Family, rules string) error {
	return t.effect.Do("LoadFirewall "+family.String(), func() error { return t.loadFirewall(ctx, family, rules) })
}

func (t *Tables) loadFirewall(ctx context.Context, family api.Family, rules string) error {
	do := "load the " + family.String() + " firewall rules"
	if err := t.canFirewall(do, family); err != nil {
		return err
	}
	return t.programs.RetryLocked(ctx, func() error {
		c := program.Command{Name: tool(family, "restore"), Args: []string{"-w", "5", "--noflush"}, Stdin: rules}
		out, err := t.programs.Do(ctx, do, c)
		if err != nil && out.Code == 4 { // "resource problem": another program is changing the tables
			return program.Locked(err)
		}
		if line := blamedLine(out.Stderr, rules); err != nil && line != "" {
			return fmt.Errorf("%w: %s", err, line)
		}
		return err
	})
}

func tool(family api.Family, verb string) string {
	if family == api.IPv6 {
		return "ip6tables-" + verb
	}
	return "iptables-" + verb
}

func (t *Tables) canFirewall(do string, family api.Family) error {
	if family == api.IPv6 {
		if _, err := os.Stat(filepath.Join(t.proc, "net/if_inet6")); err != nil {
			return host.Unavailable("cannot "+do+": this machine has no IPv6", nil)
		}
	}
	if !t.root {
		return host.Unavailable("cannot "+do+": this needs root", nil)
	}
	return nil
}

// parseSave parses the rules of the filter table from iptables-save's output.
func parseSave(text string) host.Firewall {
	var fw host.Firewall
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, ":"+render.Chain+" ") && fw.Chain == nil {
			fw.Chain = []string{}
		}
		if strings.HasPrefix(line, "[") { // counters, if requested
			_, line, _ = strings.Cut(line, "] ")
		}
		switch {
		case strings.HasPrefix(line, "-A INPUT "):
			fw.Input = append(fw.Input, normalRule(line))
		case strings.HasPrefix(line, "-A "+render.Chain+" "):
			fw.Chain = append(fw.Chain, normalRule(line))
		}
	}
	return fw
}

// protocols holds the numbers of protocols that iptables prints by name only if it finds /etc/protocols. It always prints
// tcp, udp, icmp and the like by name.
var protocols = map[string]string{"vrrp": "112"}

// normalRule returns a rule with its protocol as a number. Quoted words belong to a comment and are kept.
func normalRule(rule string) string {
	words := strings.Split(rule, " ")
	quoted := false
	for i, word := range words {
		if !quoted && i > 0 && (words[i-1] == "-p" || words[i-1] == "--protocol") {
			if number, ok := protocols[word]; ok {
				words[i] = number
			}
		}
		if strings.Count(strings.ReplaceAll(word, `\"`, ""), `"`)%2 == 1 {
			quoted = !quoted
		}
	}
	return strings.Join(words, " ")
}

var blame = regexp.MustCompile(`(?:line:? )(\d+)`)

// blamedLine returns the rule that iptables-restore names by its line number, quoted.
func blamedLine(words, rules string) string {
	m := blame.FindStringSubmatch(words)
	if m == nil {
		return ""
	}
	lines := strings.Split(rules, "\n")
	n, err := strconv.Atoi(m[1])
	if err != nil || n < 1 || n > len(lines) || lines[n-1] == "COMMIT" {
		return ""
	}
	return strconv.Quote(lines[n-1])
}
