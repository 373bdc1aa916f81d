package plan

import (
	"context"
	"fmt"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
)

// Newer is a package that can be upgraded to a version that the spec allows.
type Newer struct {
	Package   string
	Installed string // version
	Offered   string // version
}

// String is the upgrade in words: "haproxy 3.0.11-1 to 3.0.11-2".
func (n Newer) String() string { return fmt.Sprintf("%s %s to %s", n.Package, n.Installed, n.Offered) }

// FindNewer finds the named packages that apt offers in a newer version. forbidden says in words which offers the spec does
// not allow. Packages that are not installed are skipped.
func FindNewer(ctx context.Context, o host.Observer, spec *api.LoadBalancerSpec, names ...string) (newer []Newer, forbidden []string, err error) {
	offers, _, err := o.Offers(ctx, time.Time{}, names...)
	if err != nil {
		return nil, nil, err
	}
	packages, err := o.Packages(ctx, names...)
	if err != nil {
		return nil, nil, err
	}
	for _, have := range packages {
		offered := offers[have.Name].Version
		pin := *versionField(spec, have.Name)
		switch {
		case have.Version == "" || offered == "" || offered == have.Version:
		case !matches(pin, offered):
			forbidden = append(forbidden, fmt.Sprintf("%s %s is offered, and packages.%s.version allows only %s", have.Name, offered, have.Name, pin))
		default:
			newer = append(newer, Newer{have.Name, have.Version, offered})
		}
	}
	return newer, forbidden, nil
}

// Pinned is a copy of the spec that requires exactly these versions, for one run. A later run with the original spec then
// changes nothing.
func Pinned(doc *api.Document, all []Newer) *api.Document {
	pinned := *doc
	for _, n := range all {
		*versionField(&pinned.Spec, n.Package) = n.Offered
	}
	return &pinned
}

func versionField(spec *api.LoadBalancerSpec, name string) *string {
	if name == "haproxy" {
		return &spec.Packages.HAProxy.Version
	}
	return &spec.Packages.Keepalived.Version
}
