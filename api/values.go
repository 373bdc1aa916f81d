package api

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Duration is a time.Duration that is written as Go writes it: "100ms", "3s", "4h".
type Duration time.Duration

// D returns the duration as a time.Duration.
func (d Duration) D() time.Duration { return time.Duration(d) }

// String returns the shortest form that Go parses: "4h", not "4h0m0s".
func (d Duration) String() string {
	s := d.D().String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalJSON writes the duration as a string.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

func (d *Duration) setText(text string) bool {
	parsed, err := time.ParseDuration(text)
	*d = Duration(parsed)
	return err == nil
}

func (Duration) form() string { return "a duration like 100ms, 3s or 4h" }

// Lines are raw lines of a rendered file. In YAML they are a block of text or a list of strings.
type Lines []string

func (Lines) form() string { return "a text or a list of lines" }

// setText splits a text at its line ends.
func (l *Lines) setText(text string) bool {
	*l = nil
	if text = strings.TrimRight(text, "\n"); text != "" {
		*l = strings.Split(text, "\n")
	}
	return true
}

// Strings are a list of strings. In YAML a single string may be written without the list.
type Strings []string

func (Strings) form() string { return "a string or a list of strings" }

// MarshalJSON writes a single string without the list.
func (s Strings) MarshalJSON() ([]byte, error) { return marshalList(s) }

func (s *Strings) setText(text string) bool {
	*s = Strings{text}
	return true
}

// Command is the absolute path of an executable and its arguments. In YAML a path without arguments may be written
// without the list.
type Command []string

func (Command) form() string { return "a path, or a list of a path and its arguments" }

// MarshalJSON writes a path without arguments without the list.
func (c Command) MarshalJSON() ([]byte, error) { return marshalList(c) }

func (c *Command) setText(text string) bool {
	*c = Command{text}
	return true
}

// Addr returns the address without its prefix length, or the zero Addr if the text is no address.
func (v VirtualIP) Addr() netip.Addr {
	text, _, _ := strings.Cut(v.Address, "/")
	addr, _ := netip.ParseAddr(text)
	return addr
}

// Addrs returns the node's addresses. It leaves out text that is no address.
func (n Node) Addrs() (all []netip.Addr) {
	for _, text := range n.Addresses {
		if addr, err := netip.ParseAddr(text); err == nil {
			all = append(all, addr)
		}
	}
	return all
}

// PriorityOf returns the priority of a node: its own, else vrrp.priority.
func (s *LoadBalancerSpec) PriorityOf(n Node) int {
	if n.Priority != nil {
		return *n.Priority
	}
	return *s.VRRP.Priority
}

// ListensAt says whether the service is bound to an address: to all, or to this one, which bind may spell in another way.
func (s *Service) ListensAt(addr netip.Addr) bool {
	return slices.ContainsFunc(s.Bind, func(bind string) bool {
		at, err := netip.ParseAddr(bind)
		return bind == "*" || err == nil && at == addr
	})
}

// SourcesOf returns the allowFrom that counts for a service; none means everyone.
func (s *LoadBalancerSpec) SourcesOf(service *Service) []string {
	if len(service.AllowFrom) > 0 {
		return service.AllowFrom
	}
	return s.Firewall.AllowFrom
}

func (VirtualIP) form() string { return "an address or a mapping of address and interface" }

// MarshalJSON writes the address alone if there is no interface.
func (v VirtualIP) MarshalJSON() ([]byte, error) {
	if v.Interface == "" {
		return json.Marshal(v.Address)
	}
	type mapping VirtualIP
	return json.Marshal(mapping(v))
}

func (v *VirtualIP) setText(text string) bool {
	*v = VirtualIP{Address: text}
	return true
}

// textual is implemented by types other than strings that a file may write as one text. The text is the only item of a
// list, or the first field of a struct.
type textual interface {
	// setText sets the value from the text, and reports whether the text is valid for the type.
	setText(text string) bool
	// form describes what the value may be in a file.
	form() string
}

func marshalList(list []string) ([]byte, error) {
	if len(list) == 1 {
		return json.Marshal(list[0])
	}
	return json.Marshal(list)
}
