package fields

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
)

// TestRenderAsksNoProgram: with the programs installed, render runs none of them, and validate only those whose
// verdict it needs. Each takes longer than all the rest; apt-cache took half a second.
func TestRenderAsksNoProgram(t *testing.T) {
	if os.Getenv(insideOf) == "" {
		lab.Require(t)
		t.Setenv("RLB_AGENT", e2e.AgentBinary())
	}
	inTrees(t, func(t *testing.T, tree string) {
		ip(t, "link", "add", "eth0", "type", "veth", "peer", "name", "peer")
		ip(t, "link", "set", "eth0", "up")
		ip(t, "address", "add", "192.0.2.1/24", "dev", "eth0")
		write(t, tree, "run/haproxy/.keep", "")
		write(t, tree, "spec.yaml", "apiVersion: rlb.dev/v1\nkind: LoadBalancerSpec\nvirtualIPs: [192.0.2.10]\nservices: [{name: api, port: 9000, servers: [{address: 192.0.2.21, port: 6443}]}]\n")
		if out, err := exec.Command("cp", os.Getenv("RLB_AGENT"), tree+"/rlb-agent").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		program := func(path, text string) { writeMode(t, tree, path, text, 0o755) }
		try := func(command string) {
			out, err := exec.Command("chroot", tree, "/rlb-agent", command, "spec.yaml").CombinedOutput()
			called, _ := os.ReadFile(filepath.Join(tree, "called"))
			if err != nil || len(called) > 0 {
				t.Errorf("%s runs programs that it does not need: %s%v\n%s", command, called, err, out)
			}
		}
		const tells = "#!/bin/sh\necho $0 $* >>/called\n"
		for _, path := range []string{"usr/bin/apt-cache", "usr/bin/apt-get", "usr/bin/dpkg", "usr/bin/dpkg-query", "usr/bin/systemctl", "usr/sbin/iptables", "usr/sbin/nft"} {
			program(path, tells)
		}
		try("validate")
		program("usr/sbin/haproxy", tells)
		program("usr/sbin/keepalived", tells)
		try("render")
	})
}
