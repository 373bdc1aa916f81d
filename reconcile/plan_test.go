package reconcile_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/api/yamlfile"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/plan"
)

// TestPlanIsPure: the same arguments give the same plan, including the bytes of its diffs.
func TestPlanIsPure(t *testing.T) {
	for name, c := range changes {
		t.Run(name, func(t *testing.T) {
			h, doc := c.host(t), c.doc(t)
			look, err := plan.FactFinder{Observer: h}.Look(t.Context(), &doc.Spec)
			if err != nil {
				t.Fatal(err)
			}
			text := func(p plan.Plan) string {
				var b strings.Builder
				for _, s := range p.Steps() {
					b.WriteString(s.String() + "\n" + s.Diff())
				}
				return b.String()
			}
			want := text(look.Plan)
			for range 20 {
				if diff := cmp.Diff(want, text(plan.NewPlan(look.Desired, look.Observed))); diff != "" {
					t.Fatalf("another plan (-first +now):\n%s", diff)
				}
			}
		})
	}
}

// TestPlanOfAMachineThatDoesNotTell: if this machine cannot be looked at, the plan has notes and the rest of the steps; an
// applying run refuses.
func TestPlanOfAMachineThatDoesNotTell(t *testing.T) {
	for _, method := range []string{"Packages", "Unit", "Firewall", "File"} {
		t.Run(method, func(t *testing.T) {
			h := fake.New()
			adminInstalls(h, "iptables")
			h.FailMethod(method, host.ErrUnavailable)
			doc := parse(t, spec)
			look, err := plan.FactFinder{Observer: h, Assume: true}.Look(t.Context(), &doc.Spec)
			if err != nil {
				t.Fatal(err)
			}
			if len(look.Observed.Unchecked) == 0 {
				t.Error("nothing says what was not looked at")
			}
			if _, _, err := once(t, h, doc); err == nil || len(h.Log) > 0 {
				t.Errorf("an applying run: %v, effects %q", err, h.Log)
			}
		})
	}
}

func TestHostProblems(t *testing.T) {
	doc := parse(t, spec+"vrrp:\n  notify:\n    master: /m\n    backup: /b\n    fault: /f\n    stop: /s\n")
	h := fake.New()
	h.Put("/b", "", 0o644)
	h.Put("/f", "", 0o775)
	h.Put("/s", "", 0o755)
	err := reconcile.HostProblems(t.Context(), h, doc)
	problems, ok := err.(yamlfile.Problems)
	if !ok {
		t.Fatalf("got %v, want problems", err)
	}
	wantLines(t, "problems", lines(problems.Error()),
		"spec.yaml:11:13: vrrp.notify.master: there is no file /m on this host",
		"spec.yaml:12:13: vrrp.notify.backup: /b is not executable (chmod +x /b)",
		"spec.yaml:13:12: vrrp.notify.fault: others than root may write /f, so keepalived will not run it",
	)
	for _, path := range []string{"/m", "/b", "/f"} {
		h.Put(path, "", 0o755)
	}
	if err := reconcile.HostProblems(t.Context(), h, doc); err != nil {
		t.Errorf("good scripts: %v", err)
	}
	h.FailMethod("File", host.ErrUnavailable)
	if err := reconcile.HostProblems(t.Context(), h, doc); err != nil {
		t.Errorf("scripts that we may not see: %v", err)
	}
}

// TestHostProblemsOnTheWay: a user who can write a directory on the path of a program or a CA could replace that file, so
// such a path is refused.
func TestHostProblemsOnTheWay(t *testing.T) {
	doc := parse(t, spec+"  healthCheck: {type: https, caFile: /srv/open/ca.crt}\nvrrp: {notify: {master: /srv/open/bin/m}}\n")
	h := fake.New()
	h.Put("/srv/open/bin/m", "", 0o755)
	h.Put("/srv/open/ca.crt", "", 0o644)
	h.Shared = []string{"/srv/open"}
	problems, ok := reconcile.HostProblems(t.Context(), h, doc).(yamlfile.Problems)
	if !ok {
		t.Fatal("no problems")
	}
	wantLines(t, "problems", lines(problems.Error()),
		"spec.yaml:9:38: services[0].healthCheck.caFile: others than root may write /srv/open, so other users could replace the certificates that HAProxy trusts",
		"spec.yaml:10:25: vrrp.notify.master: others than root may write /srv/open, so keepalived will not run it",
	)
	h.Shared = nil
	if err := reconcile.HostProblems(t.Context(), h, doc); err != nil {
		t.Errorf("root's own: %v", err)
	}
}
