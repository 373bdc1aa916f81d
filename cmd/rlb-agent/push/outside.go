package push

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/cmd/rlb-agent/remote"
)

const (
	dialTime  = 2 * time.Second
	mostAsked = 100                    // most entrances that are tested
	closeTime = 200 * time.Millisecond // time in which HAProxy closes a connection if it has no server for it
)

// Outside connects to services as clients do.
type Outside interface {
	// Answers reports whether a connection to this address and port is accepted and stays open.
	Answers(ctx context.Context, target string) bool
	// Source is the address of this machine from which it connects; the zero value if there is no route.
	Source(target string) netip.Addr
}

// Network is the network of this machine.
type Network struct{}

// FromHere returns the network of this machine; nil if this machine may be a load balancer itself, which it is if
// the file exists: it reaches the virtual IPs by another path than clients.
func FromHere(memory string) Outside {
	if _, err := os.Lstat(memory); errors.Is(err, os.ErrNotExist) {
		return Network{}
	}
	return nil
}

// Answers connects. A service without a server accepts connections and closes them at once.
func (Network) Answers(ctx context.Context, target string) bool {
	dialer := net.Dialer{Timeout: dialTime}
	conn, err := dialer.DialContext(ctx, "tcp", target)
	if err != nil {
		return false
	}
	defer conn.Close() //nolint:errcheck // nothing was written
	if conn.SetReadDeadline(time.Now().Add(closeTime)) != nil {
		return false
	}
	_, err = conn.Read(make([]byte, 1))
	timeout, ok := err.(net.Error)
	return err == nil || ok && timeout.Timeout()
}

// Source asks the routing table: UDP sends nothing to connect.
func (Network) Source(target string) netip.Addr {
	conn, err := net.Dial("udp", target)
	if err != nil {
		return netip.Addr{}
	}
	own, _ := netip.ParseAddrPort(conn.LocalAddr().String()) // the zero value if it is none
	_ = conn.Close()                                         // nothing was written
	return own.Addr()
}

// entrances returns the addresses at which clients reach the services of a spec, by the virtual IPs, and those of services
// whose allowFrom keeps this machine out.
func entrances(spec *api.LoadBalancerSpec, source func(target string) netip.Addr) (targets, shut []string) {
	for i := range spec.Services {
		service := &spec.Services[i]
		allowed := spec.SourcesOf(service)
		if !*spec.Firewall.Manage {
			allowed = nil
		}
		for _, vip := range spec.VirtualIPs {
			target := net.JoinHostPort(vip.Addr().String(), strconv.Itoa(*service.Port))
			switch {
			case !service.ListensAt(vip.Addr()) || slices.Contains(targets, target) || slices.Contains(shut, target):
			case keepsOut(allowed, source(target)):
				shut = append(shut, target)
			default:
				targets = append(targets, target)
			}
		}
	}
	return targets, shut
}

// keepsOut reports whether an allowFrom lets only other sources in.
func keepsOut(allowed []string, source netip.Addr) bool {
	for _, from := range allowed {
		if prefix, err := netip.ParsePrefix(from); err != nil || prefix.Contains(source) {
			return false
		}
	}
	return len(allowed) > 0 && source.IsValid()
}

// reached returns the entrances of the new spec that this machine reaches before the change.
func (p *Push) reached(ctx context.Context) []string {
	if p.Sees == nil {
		p.logf("not checked from here: the services at the virtual IPs, since this machine is a load balancer itself")
		return nil
	}
	all, shut := entrances(&p.Doc.Spec, p.Sees.Source)
	if len(shut) > 0 {
		p.logf("not checked from here, since allowFrom keeps this machine out: %s", some(shut))
	}
	if len(all) > mostAsked {
		p.logf("not checked from here: %d of %d services at the virtual IPs, only the first %d are", len(all)-mostAsked, len(all), mostAsked)
		all = all[:mostAsked]
	}
	good := p.answering(ctx, all)
	if len(good) < len(all) {
		p.logf("not checked from here, since this machine does not reach it: %s", strings.Join(without(all, good), ", "))
	}
	return good
}

// mostNamed limits how many entrances a line names.
const mostNamed = 3

// some names the first mostNamed targets and counts the others.
func some(targets []string) string {
	if more := len(targets) - mostNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(targets[:mostNamed], ", "), more)
	}
	return strings.Join(targets, ", ")
}

// answer returns an error that names the targets that do not answer now.
func (p *Push) answer(ctx context.Context, targets []string) error {
	if p.Sees == nil {
		return nil
	}
	if silent := without(targets, p.answering(ctx, targets)); len(silent) > 0 {
		return fmt.Errorf("clients do not reach %s any more", strings.Join(silent, ", "))
	}
	return nil
}

// answering returns the targets that answer. It asks all of them concurrently.
func (p *Push) answering(ctx context.Context, targets []string) []string {
	good := make([]bool, len(targets))
	remote.Each(targets, func(i int, target string) { good[i] = p.Sees.Answers(ctx, target) })
	var found []string
	for i, target := range targets {
		if good[i] {
			found = append(found, target)
		}
	}
	return found
}

func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(some, s) })
}
