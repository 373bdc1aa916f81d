package main

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	long := strings.Repeat("a", 64)
	for _, tt := range []struct {
		name         string
		user, person bool
	}{
		{"anna", true, true},
		{"a.b_c-9", true, true},
		{long, true, true},
		{long + "a", false, false},
		{"", false, false},
		{"anna@lb1", false, true},
		{long + "@" + long, false, true},
		{"anna@" + long + "a", false, false},
		{long + "a@lb1", false, false},
		{"anna@", false, false},
		{"@lb1", false, false},
		{"anna@lb1@lb2", false, false},
		{"anna\n", false, false},
		{"an na", false, false},
	} {
		if got := isUser(tt.name); got != tt.user {
			t.Errorf("isUser(%q) = %v", tt.name, got)
		}
		if got := isPerson(tt.name); got != tt.person {
			t.Errorf("isPerson(%q) = %v", tt.name, got)
		}
	}
}
