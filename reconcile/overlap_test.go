package reconcile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestOverlap(t *testing.T) {
	for _, test := range []struct {
		have, want string
		overlap    bool
	}{
		{"127.0.0.1:80", "127.0.0.1:80", true},
		{"127.0.0.1:80", "127.0.0.1:81", false},
		{"127.0.0.1:80", "127.0.0.2:80", false},
		{"0.0.0.0:80", "127.0.0.1:80", true},
		{"127.0.0.1:80", "0.0.0.0:80", true},
		{"0.0.0.0:80", "0.0.0.0:81", false},
		{"[::1]:80", "[::]:80", true},
		{"[::]:80", "[::1]:80", true},
		{"[::1]:80", "[::2]:80", false},
		{"[::1]:80", "127.0.0.1:80", false},
		{"[::1]:80", "0.0.0.0:80", false},
		{"0.0.0.0:80", "[::]:80", false}, // HAProxy's wildcard of IPv6 is of IPv6 only
		{"127.0.0.1:80", "[::]:80", false},
		{"[::]:80", "0.0.0.0:80", true}, // another program's may be of both
		{"[::]:80", "127.0.0.1:80", true},
	} {
		if got := overlap(netip.MustParseAddrPort(test.have), netip.MustParseAddrPort(test.want)); got != test.overlap {
			t.Errorf("have %s, want %s: %t", test.have, test.want, got)
		}
	}
}

// Rules are letters; those that the agent took are A, B and C.
func TestRulesComeBackAtTheirPlaces(t *testing.T) {
	for _, test := range []struct{ now, before, want string }{
		{"xz", "xAz", "xAz"},
		{"xz", "xzA", "xzA"},
		{"xz", "Axz", "Axz"},
		{"z", "ABz", "ABz"},
		{"z", "AzA", "AzA"},
		{"", "xAyBz", "AB"},
		{"Az", "xAz", "Az"},   // it is there again
		{"Az", "AAz", "AAz"},  // one of two is
		{"yz", "xAyz", "Ayz"}, // its neighbour is gone
		{"zn", "Az", "Azn"},   // others came
		{"x", "x", "x"},
	} {
		var taken []string
		for _, rule := range []string{"A", "B", "C"} {
			if strings.Contains(test.before, rule) {
				taken = append(taken, rule)
			}
		}
		split := func(s string) []string {
			return slices.DeleteFunc(strings.Split(s, ""), func(r string) bool { return r == "" })
		}
		got := split(test.now)
		for _, add := range comeBack(got, split(test.before), taken) {
			got = slices.Insert(got, add.at, add.rule)
		}
		if strings.Join(got, "") != test.want {
			t.Errorf("now %q, before %q: %q, want %q", test.now, test.before, got, test.want)
		}
	}
	if got := comeBack([]string{"x"}, nil, []string{"C"}); fmt.Sprint(got) != "[{1 C}]" {
		t.Errorf("a rule without a place: %v", got)
	}
}
