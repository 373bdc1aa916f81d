package api

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Duration is a time.Duration that is written as Go writes it: "100ms", "3s", "4h".
type Duration time.Duration

// D is the plain time.Duration.
func (d Duration) D() time.Duration { return time.Duration(d) }

// String is the shortest form that Go reads back: "4h", not "4h0m0s".
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

// UnmarshalJSON reads a string that time.ParseDuration takes.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("cannot read a duration: %w", err)
	}
	parsed, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("cannot read a duration: %w", err)
	}
	*d = Duration(parsed)
	return nil
}

// Lines are raw lines of a rendered file. In YAML they are a block of text or a list of strings.
type Lines []string

func (Lines) form() string { return "a text or a list of lines" }

// UnmarshalJSON reads a string, which is cut at its line ends, or a list of strings.
func (l *Lines) UnmarshalJSON(data []byte) error {
	text, short, err := textOr(data, (*[]string)(l))
	if !short || err != nil {
		return err
	}
	*l = nil
	if text = strings.TrimRight(text, "\n"); text != "" {
		*l = strings.Split(text, "\n")
	}
	return nil
}

// Strings are a list of strings. In YAML a single one may stand without the list.
type Strings []string

func (Strings) form() string { return "a string or a list of strings" }

// MarshalJSON writes a single string without the list.
func (s Strings) MarshalJSON() ([]byte, error) { return marshalList(s) }

// UnmarshalJSON reads a string or a list of strings.
func (s *Strings) UnmarshalJSON(data []byte) error { return unmarshalList(data, (*[]string)(s)) }

// Command is the absolute path of an executable and its arguments. In YAML a path without arguments may stand
// without the list.
type Command []string

func (Command) form() string { return "a path, or a list of a path and its arguments" }

// MarshalJSON writes a path without arguments without the list.
func (c Command) MarshalJSON() ([]byte, error) { return marshalList(c) }

// UnmarshalJSON reads a string or a list of strings.
func (c *Command) UnmarshalJSON(data []byte) error { return unmarshalList(data, (*[]string)(c)) }

// Addr is the address without its prefix. It is the zero Addr for text that is no address.
func (v VirtualIP) Addr() netip.Addr {
	text, _, _ := strings.Cut(v.Address, "/")
	addr, _ := netip.ParseAddr(text)
	return addr
}

func (VirtualIP) form() string { return "an address or a mapping of address and interface" }

// MarshalJSON writes the address alone where there is no interface.
func (v VirtualIP) MarshalJSON() ([]byte, error) {
	if v.Interface == "" {
		return json.Marshal(v.Address)
	}
	type mapping VirtualIP
	return json.Marshal(mapping(v))
}

// UnmarshalJSON reads a string or a mapping.
func (v *VirtualIP) UnmarshalJSON(data []byte) error {
	type mapping VirtualIP
	text, short, err := textOr(data, (*mapping)(v))
	if short {
		*v = VirtualIP{Address: text}
	}
	return err
}

// shorthand is implemented by types that a file may write as one string too. The string is the first item of a
// list, or the first field of a struct.
type shorthand interface {
	// form says what the value may be.
	form() string
}

// textOr reads a string, or else into long.
func textOr(data []byte, long any) (text string, short bool, err error) {
	if len(data) > 0 && data[0] == '"' {
		err = json.Unmarshal(data, &text)
		short = true
	} else {
		err = json.Unmarshal(data, long)
	}
	if err != nil {
		err = fmt.Errorf("cannot read a value: %w", err)
	}
	return text, short, err
}

func unmarshalList(data []byte, list *[]string) error {
	text, short, err := textOr(data, list)
	if short {
		*list = []string{text}
	}
	return err
}

func marshalList(list []string) ([]byte, error) {
	if len(list) == 1 {
		return json.Marshal(list[0])
	}
	return json.Marshal(list)
}
