package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestRulesComeBackAtTheirPlaces: rules are letters; the agent removed the rules A, B and C.
func TestRulesComeBackAtTheirPlaces(t *testing.T) {
	for _, test := range []struct{ now, before, want string }{
		{"xz", "xAz", "xAz"},
		{"xz", "xzA", "xzA"},
		{"xz", "Axz", "Axz"},
		{"z", "ABz", "ABz"},
		{"z", "AzA", "AzA"},
		{"", "xAyBz", "AB"},
		{"Az", "xAz", "Az"},   // the rule exists again
		{"Az", "AAz", "AAz"},  // one of two exists again
		{"yz", "xAyz", "Ayz"}, // its neighbour is gone
		{"zn", "Az", "Azn"},   // other rules were added
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
