package lab_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

func contextWithTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

const goodHAProxy = `
global
	stats socket /run/haproxy/admin.sock mode 660
	user haproxy
	group haproxy
defaults
	timeout connect 1s
	timeout client 1s
	timeout server 1s
listen api
	mode tcp
	bind 198.51.100.100:9000
	server cp1 198.51.100.21:6443 check
`

const goodKeepalived = `
vrrp_instance api {
	state BACKUP
	interface lan0
	virtual_router_id 51
	priority 100
	virtual_ipaddress {
		198.51.100.100/32
	}
}
`

func TestChecks(t *testing.T) {
	for _, r := range lab.Releases() {
		t.Run(string(r), func(t *testing.T) {
			lab.RequireRelease(t.Context(), t, r)
			t.Parallel()
			ctx := t.Context()
			begin := time.Now()
			if err := lab.CheckHAProxy(ctx, r, []byte(goodHAProxy)); err != nil {
				t.Errorf("%s: %v", r, err)
			}
			if err := lab.CheckKeepalived(ctx, r, []byte(goodKeepalived), "lan0"); err != nil {
				t.Errorf("%s: %v", r, err)
			}
			t.Logf("%s: two checks took %s", r, time.Since(begin).Round(time.Millisecond))
			bad := strings.Replace(goodHAProxy, "mode tcp", "mode smoke", 1)
			if err := lab.CheckHAProxy(ctx, r, []byte(bad)); err == nil || !strings.Contains(err.Error(), "smoke") {
				t.Errorf("%s: got %v", r, err)
			}
			bad = strings.Replace(goodKeepalived, "priority 100", "priority high", 1)
			if err := lab.CheckKeepalived(ctx, r, []byte(bad), "lan0"); err == nil {
				t.Errorf("%s: a bad priority is good", r)
			}
			if err := lab.CheckKeepalived(ctx, r, []byte(goodKeepalived), "other0"); err == nil {
				t.Errorf("%s: a missing interface is good", r)
			}
		})
	}
}

func TestChecksLeaveNoMount(t *testing.T) {
	lab.Require(t)
	if err := lab.CheckHAProxy(t.Context(), lab.Trixie, []byte(goodHAProxy)); err != nil {
		t.Error(err)
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), " /var/cache/rlb-lab") {
		t.Errorf("a check left a mount: %s, %v", mounts, err)
	}
}
