package render

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/specgen"
)

// randomSpecs is how many random specs each release's programs judge.
const randomSpecs = 40

// TestRandomSpecsAreAccepted: each release's HAProxy and keepalived take what random specs render to. For the standard
// profile HAProxy has nothing to warn of.
func TestRandomSpecsAreAccepted(t *testing.T) {
	// Each line of the standard input is a seed, the two files, and the options of HAProxy.
	const script = `
ip link set lo up
ip link add eth0 type veth peer name rlb-peer
ip addr add 192.168.3.241/24 dev eth0
ip link set eth0 up
ip link set rlb-peer up
mkdir -p run/haproxy run/rlb var/lib/rlb etc/rlb
echo "127.0.0.1 localhost cp1.example.org" >/etc/hosts
echo "$1" >` + specgen.CAFile + `
while read -r seed haproxy keepalived options; do
	echo "$haproxy" | base64 -d >/etc/haproxy/haproxy.cfg
	echo "$keepalived" | base64 -d >/etc/keepalived/keepalived.conf
	said=$(haproxy $options -f /etc/haproxy/haproxy.cfg 2>&1) || printf 'seed %s: haproxy: %s\n' "$seed" "$said"
	said=$(keepalived --config-test --use-file=/etc/keepalived/keepalived.conf 2>&1) || printf 'seed %s: keepalived: %s\n' "$seed" "$said"
done`
	onReleases(t, func(t *testing.T, i int, program lab.Release) {
		var input strings.Builder
		for seed := range uint64(randomSpecs) {
			spec := parse(t, specgen.Text(seed))
			options := "-c"
			if spec.Profile == api.Standard {
				options = "-c -dW"
			}
			rendered := files(t, spec, factsFor(spec, releases[i]))
			encoded := func(kind Kind) string { return base64.StdEncoding.EncodeToString(fileOf(t, rendered, kind).Data) }
			fmt.Fprintln(&input, seed, encoded(HAProxyConfig), encoded(KeepalivedConfig), options)
		}
		refused, err := inTree(t, program, input.String(), script, string(certificate(t).Data))
		if err != nil || refused != "" {
			t.Errorf("%v\n%s", err, refused)
		}
	})
}
