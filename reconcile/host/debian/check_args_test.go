package debian

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/reconcile/host/debian/systemd"
)

// TestConfigsOf uses the ExecStart= lines of the packages' units.
func TestConfigsOf(t *testing.T) {
	env := map[string]string{"CONFIG": "/etc/haproxy/haproxy.cfg", "CFGDIR": "/etc/haproxy/conf.d", "PIDFILE": "/run/haproxy.pid",
		"EXTRAOPTS": "-S /run/haproxy-master.sock -f /etc/mine.cfg"}
	for _, test := range []struct{ line, want string }{
		{"/usr/sbin/haproxy -Ws -f $CONFIG -p $PIDFILE", "/etc/haproxy/haproxy.cfg"},                                             // 2.2
		{"/usr/sbin/haproxy -Ws -f $CONFIG -p $PIDFILE $EXTRAOPTS", "/etc/haproxy/haproxy.cfg /etc/mine.cfg"},                    // 2.6
		{"/usr/sbin/haproxy -Ws -f $CONFIG -f $CFGDIR -p $PIDFILE", "/etc/haproxy/haproxy.cfg /etc/haproxy/conf.d"},              // 3.4
		{"/usr/sbin/haproxy -Ws -f ${CONFIG} -f ${CFGDIR}/a.cfg -f $NONE", "/etc/haproxy/haproxy.cfg /etc/haproxy/conf.d/a.cfg"}, // edited
		{"", ""},
	} {
		got := strings.Join(configsOf(systemd.ExpandArgs(strings.Fields(test.line), env)), " ")
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s:\n%s", test.line, diff)
		}
	}
}
