package render

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestForwardingNeedsNoPlaceInTheSet: a rule ends if its update finds the set full (nft 1.0.6), so the update is a rule of
// its own and does not stop the forwarding.
func TestForwardingNeedsNoPlaceInTheSet(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*/handover.nft")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for line := range strings.Lines(string(data)) {
			if _, rule, is := strings.Cut(line, "update @forwarded {"); is {
				if found = true; !strings.HasSuffix(rule, "}\n") {
					t.Errorf("%s: more than the update: %s", path, line)
				}
			}
		}
		if !found && strings.Contains(string(data), "dup to") {
			t.Errorf("%s forwards and does not note what", path)
		}
	}
}

// TestLedOutlivesTheInterval: a stop of HAProxy looks in the set whether this host holds the virtual IPs. The host must stay
// in the set until its next advertisement, or HAProxy stops before a peer has taken over.
func TestLedOutlivesTheInterval(t *testing.T) {
	for interval, want := range map[string]string{"100ms": "timeout 2000ms", "5s": "timeout 10000ms"} {
		rules := rendered(t, HandoverRules, vip4+oneService+"vrrp: {advertisementInterval: "+interval+"}\n")
		_, led, _ := strings.Cut(rules, "set led {")
		if led, _, _ = strings.Cut(led, "}"); !strings.Contains(led, want) {
			t.Errorf("advertisements every %s: no %q in%s", interval, want, led)
		}
	}
}

// TestForwardsOtherSpelling: a service is bound to a virtual IP however its address is written.
func TestForwardsOtherSpelling(t *testing.T) {
	for _, bind := range []string{"2001:db8::10", "2001:DB8::10", "2001:db8:0::10"} {
		rules := rendered(t, HandoverRules, "virtualIPs: [192.168.3.240, \"2001:db8::10\"]\nservices:\n"+
			"- {name: api, port: 9000, bind: \""+bind+"\", servers: [{address: 192.168.3.251, port: 6443}]}\n")
		if want := "ip6 daddr { 2001:db8::10 } tcp dport 9000 goto " + onAddress; !strings.Contains(rules, want) {
			t.Errorf("bind %s: no %q", bind, want)
		}
	}
}
