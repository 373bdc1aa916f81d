package importer_test

import (
	"os"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/reconcile/importer"
	"rlb.dev/rlb-agent/render"
)

// TestRealProgramsAccept renders the specs imported from the files in testdata. HAProxy and keepalived of each release must
// accept the result.
func TestRealProgramsAccept(t *testing.T) {
	lab.Require(t)
	ca, err := os.ReadFile("../../render/testdata/ca.crt")
	if err != nil {
		t.Fatal(err)
	}
	script := []byte("#!/bin/sh\n")
	beside := []lab.File{
		{Path: "/etc/rlb/ca.pem", Data: ca}, {Path: "/usr/local/sbin/on-change", Data: script, Mode: 0o755},
		{Path: "/usr/local/sbin/log-change", Data: script, Mode: 0o755}, {Path: "/usr/local/sbin/page", Data: script, Mode: 0o755},
		{Path: "/etc/hosts", Data: []byte("127.0.0.1 localhost cp3.example.org bootstrap.ocp.example.org master0.ocp.example.org\n")},
	}
	for release, version := range map[lab.Release][2]render.Version{lab.Trixie: {"3.0.11", "2.3.3"}, lab.Bookworm: {"2.6.12", "2.2.7"}} {
		lab.RequireRelease(t.Context(), t, release)
		for name, files := range foreign(t) {
			for _, profile := range []api.Profile{api.Standard, api.Classic} {
				result := importer.Import(files[0], files[1], importer.Options{Profile: profile})
				doc, err := api.Parse(name, []byte(result.Text))
				if err != nil { // the spec lacks something that the files do not show
					continue
				}
				haproxy, keepalived := rendered(t, &doc.Spec, version)
				if err := lab.CheckHAProxy(t.Context(), release, haproxy, beside...); err != nil {
					t.Errorf("%s, %s, %v: %v\n%s", name, profile, release, err, haproxy)
				}
				interfaces := []string{"eth0"}
				if doc.Spec.VRRP.Interface != "" {
					interfaces[0] = doc.Spec.VRRP.Interface
				}
				for _, v := range doc.Spec.VirtualIPs {
					if v.Interface != "" {
						interfaces = append(interfaces, v.Interface)
					}
				}
				if err := lab.CheckKeepalived(t.Context(), release, keepalived, strings.Join(interfaces, " "), beside...); err != nil {
					t.Errorf("%s, %s, %v: %v\n%s", name, profile, release, err, keepalived)
				}
			}
		}
	}
}
