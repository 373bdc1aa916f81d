package pair

import (
	"fmt"
	"strings"

	"rlb.dev/rlb-agent/hack/lab"
)

// SpecAfter returns a spec of two services after this number of edits: each edit changes weights, and every reload-th
// also changes something that needs a reload. more is appended.
func SpecAfter(edits, reload int, more string) string {
	servers := func(port int) string {
		var b strings.Builder
		for i := range 3 {
			fmt.Fprintf(&b, "  - {name: cp%d, address: 198.51.100.%d, port: %d, weight: %d}\n", i+1, 21+i, port, 100+edits%100)
		}
		return b.String()
	}
	return fmt.Sprintf(`apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [%s]
proxy: {retries: %d}
services:
- name: kube-apiserver
  port: 9000
  servers:
%s- name: names
  port: 9001
  servers:
%s%s`, VIP, 3+edits/reload%2, servers(6443), servers(lab.NamePort), more)
}
