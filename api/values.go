package api

import (
	"encoding/json"
	"fmt"
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

// UnmarshalJSON reads a string, which is cut at its line ends, or a list of strings.
func (l *Lines) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err == nil {
		*l = nil
		if text = strings.TrimRight(text, "\n"); text != "" {
			*l = strings.Split(text, "\n")
		}
		return nil
	}
	var list []string
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("cannot read raw lines: %w", err)
	}
	*l = list
	return nil
}
