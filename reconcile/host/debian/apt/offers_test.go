package apt

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
	"rlb.dev/rlb-agent/reconcile/host/debian/program/recorded"
)

const offersOutput = `haproxy:
  Installed: 2.6.12-1+deb12u3
  Candidate: 2.6.12-1+deb12u4
  Version table:
     2.6.12-1+deb12u4 500
        500 http://mirror.example/debian-security bookworm-security/main amd64 Packages
 *** 2.6.12-1+deb12u3 500
        500 http://mirror.example/debian bookworm/main amd64 Packages
        100 /var/lib/dpkg/status
keepalived:
  Installed: 1:2.2.7-1+b2
  Candidate: 1:2.2.7-1+b2
  Version table:
 *** 1:2.2.7-1+b2 500
        500 http://mirror.example/debian bookworm/main amd64 Packages
        100 /var/lib/dpkg/status
     1:2.2.7-1 500
        500 http://mirror.example/debian-security bookworm-security/main amd64 Packages
gone:
  Installed: (none)
  Candidate: (none)
  Version table:
`

func TestOffers(t *testing.T) {
	h, f := newManager(t, recorded.Answer{Words: "apt-cache", Out: program.Output{Stdout: offersOutput}})
	h.lists = filepath.Join(t.TempDir(), "lists")
	if offers, _, err := h.Offers(t.Context(), time.Time{}, "haproxy"); err != nil || len(offers) > 0 || len(f.Ran) > 0 {
		t.Errorf("without lists: %v, %v, ran %q", offers, err, f.Ran)
	}
	if err := os.Mkdir(h.lists, 0o755); err != nil {
		t.Fatal(err)
	}
	got, lists, err := h.Offers(t.Context(), time.Time{}, "haproxy", "keepalived", "gone")
	want := map[string]host.Offer{"haproxy": {Version: "2.6.12-1+deb12u4", Security: true}, "keepalived": {Version: "1:2.2.7-1+b2"}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, again, err := h.Offers(t.Context(), lists, "haproxy"); err != nil || !again.Equal(lists) || len(f.Ran) != 1 {
		t.Errorf("lists that are not newer: %v, %v, ran %q", again, err, f.Ran)
	}
}
