// Package e2e is shared by the end-to-end tests: rlb-agent on real Debian hosts in the lab, with the real programs. The
// tests themselves are in one directory per subject:
//
//   - install: from a bare host, or one that somebody configured, to one that serves, and back
//   - edit: the spec changes under load, is tried, refused, undone
//   - failover: which host holds the virtual IP, and what clients see when that changes
//   - faults: killed and broken in every place, and the next run converges
//   - observe: status, metrics, and what others change on a host
//   - fields: the effect of the spec's fields on the real HAProxy and keepalived, without hosts
//
// They run with RLB_LAB=1, as root: "make test" for all, "hack/e2e/run failover" for one subject, "go test -run" for
// one test. A plain "go test" skips them and says why.
package e2e
