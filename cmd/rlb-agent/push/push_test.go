package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/cmd/rlb-agent/remote"
	"rlb.dev/rlb-agent/reconcile/status"
)

var errCut = errors.New("cannot reach it: connection reset")

// fails makes one call fail, the first time only or every time.
func fails(at string, before, after error, answer *remote.Answer, ever bool) func(string) fault {
	hit := false
	return func(call string) fault {
		if call == at && !hit {
			hit = true
			return fault{before, after, answer}
		}
		host, _, _ := strings.Cut(at, " ")
		if hit && ever && strings.HasPrefix(call, host+" ") {
			return fault{before: errCut}
		}
		return fault{}
	}
}

func says(code int, text string) *remote.Answer { return &remote.Answer{Code: code, Stderr: text} }

// TestFaults: lb1 holds the virtual IPs. Each case has a fault, the calls that change hosts, and the result.
func TestFaults(t *testing.T) {
	const good, confirms = "lb2 try, lb1 try, ", "lb2 confirm, lb1 confirm"
	for _, tt := range []struct {
		name    string
		fault   func(string) fault
		prepare func(*fleet)
		with    func(*Push)
		changes string
		code    int
		says    string // in the error or in the output
		specs   string
	}{
		{name: "clients are asked", changes: good + confirms, says: "lb1: serves with it, and clients reach 198.51.100.100:9000\n", specs: "new new"},
		{name: "clients do not get through to the last host", with: func(p *Push) {
			f := p.Remote.(*fleet)
			p.Sees = sees(func(string) bool { return f.hosts["lb1"].trial == "" })
		}, changes: good + "lb1 end, lb2 end", code: 4, says: "cannot verify lb1: clients do not reach 198.51.100.100:9000 any more", specs: "old old"},
		{name: "good", changes: good + confirms, says: "done: spec.yaml is in force on lb1 and lb2", specs: "new new"},
		{name: "dry run", with: func(p *Push) { p.DryRun = true }, code: 1, says: "on lb1 and lb2:\n    write /etc/haproxy/haproxy.cfg\n", specs: "old old"},
		{name: "the answer is no", with: func(p *Push) { p.Ask = func(string) bool { return false } }, code: 1, says: "nothing was changed", specs: "old old"},
		{name: "a host is unreachable", fault: fails("lb2 status", errCut, nil, nil, true), code: 2, says: "cannot reach it", specs: "old old"},
		{name: "no status", fault: fails("lb1 status", nil, nil, says(0, "motd"), false), code: 2, says: "cannot read the status of lb1", specs: "old old"},
		{name: "not in sync", prepare: func(f *fleet) { f.hosts["lb1"].drifted = true }, code: 2, says: "lb1: it is not in sync with its own spec: still to do: start haproxy", specs: "old old"},
		{name: "another major version", prepare: func(f *fleet) { f.hosts["lb2"].version = "v2.0.1" }, code: 2, says: "lb2: it has rlb-agent v2.0.1, this machine has v1.3.0", specs: "old old"},
		{name: "another trial", prepare: func(f *fleet) {
			f.hosts["lb2"].trial, f.hosts["lb2"].by, f.hosts["lb2"].deadline = "x", "bob", time.Now().Add(time.Minute)
		}, code: 4, says: "lb2: a spec is tried since 10:00:00 by bob", specs: "old tried"},
		{name: "lb2 refuses in validate", fault: fails("lb2 validate", nil, nil, says(3, "-:12:5: services[0].port: too high\n"), false), code: 3, says: "lb2: spec.yaml:12:5: services[0].port: too high", specs: "old old"},
		{name: "lb2 refuses in the dry run", fault: fails("lb2 dry-run", nil, nil, says(3, "rlb-agent: cannot\n"), false), code: 3, says: "lb2: it refuses spec.yaml", specs: "old old"},
		{name: "lb2 cannot be asked for a dry run", fault: fails("lb2 dry-run", nil, nil, says(2, "rlb-agent: cannot tell the interface\n"), false), code: 2, says: "cannot tell the interface", specs: "old old"},
		{name: "lb2 refuses to try", fault: fails("lb2 try", nil, nil, says(3, "rlb-agent: cannot trust it\n"), false), changes: "lb2 try", code: 3, says: "cannot trust it", specs: "old old"},
		{name: "lb2 has an old agent", fault: fails("lb2 try", nil, nil, says(2, "rlb-agent: unknown flag: --detach\n"), false), changes: "lb2 try", code: 2, says: "unknown flag", specs: "old old"},
		{name: "the try fails on lb2", fault: fails("lb2 try", nil, nil, says(4, "rlb-agent: haproxy does not start\n"), false), changes: "lb2 try, lb2 end", code: 4, says: "in force again on lb2", specs: "old old"},
		{name: "lb2 does not answer the try", fault: fails("lb2 try", errCut, nil, nil, false), changes: "lb2 try, lb2 end", code: 4, says: "cannot reach", specs: "old old"},
		{name: "lb2 tries, the answer is lost", fault: fails("lb2 try", nil, errCut, nil, false), changes: "lb2 try, lb2 end", code: 4, says: "in force again on lb2", specs: "old old"},
		{name: "lb2 tries and is gone", fault: fails("lb2 try", nil, errCut, nil, true), changes: "lb2 try, lb2 end …", code: 5, says: "not known for lb2", specs: "old old"},
		{name: "lb2 does not serve with it", prepare: func(f *fleet) { f.hosts["lb2"].bad = true }, changes: "lb2 try, lb2 end", code: 4, says: "it does not serve: no server that is up", specs: "old old"},
		{name: "clients do not get through", with: func(p *Push) {
			n := 0
			p.Sees = sees(func(string) bool { n++; return n == 1 })
		}, changes: "lb2 try, lb2 end", code: 4, says: "clients do not reach 198.51.100.100:9000 any more", specs: "old old"},
		{name: "lb1 refuses to try", fault: fails("lb1 try", nil, nil, says(3, "rlb-agent: cannot\n"), false), changes: good + "lb1 end, lb2 end", code: 4, says: "in force again on lb1 and lb2", specs: "old old"},
		{name: "another spec came first to lb1", with: func(p *Push) {
			f := p.Remote.(*fleet)
			f.fault = func(call string) fault {
				if call == "lb1 try" {
					f.hosts["lb1"].spec = "other"
				}
				return fault{}
			}
		}, changes: good + "lb1 end, lb2 end", code: 4, says: "in force on lb2\nanother spec came into force meanwhile on lb1", specs: "other old"},
		{name: "lb1 tries, the answer is lost", fault: fails("lb1 try", nil, errCut, nil, false), changes: good + "lb1 end, lb2 end", code: 4, says: "in force again on lb1 and lb2", specs: "old old"},
		{name: "lb1 does not serve with it", prepare: func(f *fleet) { f.hosts["lb1"].bad = true }, changes: good + "lb1 end, lb2 end", code: 4, says: "cannot verify lb1", specs: "old old"},
		{name: "the virtual router changes", prepare: func(f *fleet) { f.hosts["lb2"].keptOutBy = f.hosts["lb1"] }, changes: good + confirms, says: "lb2: waits for the others", specs: "new new"},
		{name: "lb2 does not join the virtual router", prepare: func(f *fleet) { f.hosts["lb2"].keptOutBy = &fakeHost{} }, changes: good + "lb1 end, lb2 end", code: 4, says: "cannot verify lb2: it does not serve: keepalived is kept out", specs: "old old"},
		{name: "two hold the virtual IPs", fault: func(call string) fault { return fault{} }, with: func(p *Push) {
			f := p.Remote.(*fleet)
			f.fault = func(call string) fault {
				if call == "lb1 try" {
					f.hosts["lb2"].role = f.hosts["lb1"].role
				}
				return fault{}
			}
		}, changes: good + "lb1 end, lb2 end", code: 4, says: "lb1 and lb2 hold the virtual IPs at the same time", specs: "old old"},
		{name: "the first confirmation is lost", fault: fails("lb1 confirm", errCut, nil, nil, false), changes: good + confirms + ", lb1 confirm", says: "done", specs: "new new"},
		{name: "the answer to a confirmation is lost", fault: fails("lb1 confirm", nil, errCut, nil, false), changes: good + confirms + ", lb1 confirm", says: "done", specs: "new new"},
		{name: "lb1 is gone when it should confirm", fault: fails("lb1 confirm", errCut, nil, nil, true), changes: good + confirms + " …", code: 5, says: "spec.yaml is in force on lb2\nnot known for lb1", specs: "old new"},
		{name: "lb1 cannot confirm", fault: fails("lb1 confirm", nil, nil, says(4, "rlb-agent: cannot lock\n"), false), changes: good + confirms + ", lb1 end, lb2 end", code: 5, says: "run the same push again", specs: "old new"},
		{name: "lb2 cannot confirm", fault: fails("lb2 confirm", nil, nil, says(4, "rlb-agent: cannot lock\n"), false), changes: good + "lb2 confirm, lb1 end, lb2 end", code: 4, says: "in force again on lb1 and lb2", specs: "old old"},
		{name: "too slow", with: func(p *Push) { p.Timeout = 2 * time.Second }, changes: good + "lb1 end, lb2 end", code: 4, says: "give more time with --timeout", specs: "old old"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(2)
				if tt.fault != nil {
					f.fault = tt.fault
				}
				if tt.prepare != nil {
					tt.prepare(f)
				}
				if tt.with == nil {
					tt.with = func(*Push) {}
				}
				o := f.push(t, t.Context(), tt.with)
				changes := f.changes()
				if prefix, open := strings.CutSuffix(tt.changes, " …"); changes != tt.changes && !(open && strings.HasPrefix(changes, prefix)) {
					t.Errorf("changes: %s\nwant:    %s", changes, tt.changes)
				}
				if o.code != tt.code {
					t.Errorf("exit code %d, want %d", o.code, tt.code)
				}
				if all := o.err + o.stdout + o.stderr; !strings.Contains(all, tt.says) {
					t.Errorf("does not say %q:\n%s", tt.says, all)
				}
				if specs := strings.Join(f.specs(), " "); specs != tt.specs {
					t.Errorf("specs afterwards: %s, want %s", specs, tt.specs)
				}
				if o.code == 2 || o.code == 3 {
					for name, h := range f.hosts {
						if h.spec != digest(oldSpec) || h.trial != "" {
							t.Errorf("%s was touched", name)
						}
					}
				}
			})
		})
	}
}

// TestHostileTexts: a hostile or broken host adds no line to the output of a push, and no control character. Its steps are
// several lines, each indented.
func TestHostileTexts(t *testing.T) {
	const evil = "\ndone: spec.yaml is in force on lb1\n\x1b[2J\r"
	hostile := func(change func(*status.Status)) func(f *fleet) {
		return func(f *fleet) {
			s := f.hosts["lb2"].status()
			change(&s)
			data, _ := json.Marshal(s)
			f.fault = fails("lb2 status", nil, nil, &remote.Answer{Stdout: string(data)}, false)
		}
	}
	inSync := func(s *status.Status) { s.Conditions[0].Status, s.Conditions[0].Message = "False", evil }
	for name, prepare := range map[string]func(f *fleet){
		"role":    hostile(func(s *status.Status) { s.Role = evil }),
		"digest":  hostile(func(s *status.Status) { s.SpecDigest = evil }),
		"version": hostile(func(s *status.Status) { s.Versions.Agent = "v9.0" + evil }),
		"drift":   hostile(inSync),
		"reason":  hostile(func(s *status.Status) { inSync(s); s.Conditions[0].Message, s.Conditions[0].Reason = "", evil }),
		"trial":   hostile(func(s *status.Status) { inSync(s); s.Trial = &status.Trial{} }),
		"plan": func(f *fleet) {
			f.fault = fails("lb2 dry-run", nil, nil, &remote.Answer{Code: 1, Stdout: "write" + evil}, false)
		},
		"error":   func(f *fleet) { f.fault = fails("lb2 dry-run", nil, nil, says(2, "rlb-agent: cannot"+evil), false) },
		"refusal": func(f *fleet) { f.fault = fails("lb2 validate", nil, nil, says(3, "-:1:1: no"+evil), false) },
		"garbage": func(f *fleet) { f.fault = fails("lb2 status", nil, nil, &remote.Answer{Stdout: evil}, false) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(2)
				prepare(f)
				o := f.push(t, t.Context(), func(p *Push) { p.DryRun = true })
				all := o.err + "\n" + o.stdout + o.stderr
				if !strings.Contains(all, "done: spec") || strings.Contains(all, "\ndone: ") || strings.ContainsAny(all, "\x1b\r") {
					t.Errorf("%q", all)
				}
				if steps := strings.Contains(o.stdout, "\n    write\n    done: "); steps != (name == "plan") {
					t.Errorf("%q", o.stdout)
				}
			})
		})
	}
}

// TestCutAnywhere: after any call the pushing machine is closed, or a host is cut off. All hosts have the same spec
// when the trials are over. Only between the first and the last confirmation may they have two, and then the next push
// finishes.
func TestCutAnywhere(t *testing.T) {
	for _, hosts := range []int{2, 3} {
		count := 0
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(hosts)
			if o := f.push(t, t.Context()); o.code != 0 {
				t.Fatalf("a good push: %+v", o)
			}
			count = len(f.calls)
		})
		for at := range count {
			for _, done := range []bool{false, true} {
				for _, only := range []bool{false, true} {
					t.Run(fmt.Sprintf("%d hosts, call %d, done %v, one host %v", hosts, at, done, only), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) { cutAt(t, hosts, at, done, only) })
					})
				}
			}
		}
	}
}

// cutAt cuts the connection from one call on, before or after the host has done it: to all hosts, or only to the host
// of the call.
func cutAt(t *testing.T, hosts, at int, done, only bool) {
	f := newFleet(hosts)
	cut, mixed := "", false
	f.fault = func(call string) fault {
		name, _, _ := strings.Cut(call, " ")
		switch {
		case len(f.calls)-1 == at:
			cut, mixed = name, strings.HasSuffix(call, "confirm")
			if done {
				return fault{after: errCut}
			}
			return fault{before: errCut}
		case cut != "" && (!only || name == cut):
			mixed = mixed || strings.HasSuffix(call, "confirm")
			return fault{before: errCut}
		}
		return fault{}
	}
	o := f.push(t, t.Context())
	specs := f.specs()
	same := len(slices.Compact(slices.Clone(specs))) == 1
	if !same && !mixed {
		t.Errorf("exit code %d: the hosts have %v\n%s", o.code, specs, o.stderr)
	}
	want := map[int]bool{0: same && specs[0] == "new", 2: same && specs[0] == "old", 4: same && specs[0] == "old", 5: true}
	if !want[o.code] {
		t.Errorf("exit code %d, and the hosts have %v\n%s", o.code, specs, o.err)
	}
	f.fault = func(string) fault { return fault{} }
	if again := f.push(t, t.Context()); again.code != 0 || slices.ContainsFunc(f.specs(), func(s string) bool { return s != "new" }) {
		t.Errorf("the next push: %+v, the hosts have %v", again, f.specs())
	}
}

// TestInterrupted: Ctrl-C goes back at once.
func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(2)
		ctx, cancel := context.WithCancel(t.Context())
		f.fault = func(call string) fault {
			if call == "lb1 try" {
				cancel()
			}
			return fault{}
		}
		began := time.Now()
		o := f.push(t, ctx)
		if o.code != 4 || !strings.Contains(o.err, "interrupted") || f.changes() != "lb2 try, lb1 try, lb1 end, lb2 end" {
			t.Errorf("%+v\n%s", o, f.changes())
		}
		if took := time.Since(began); took > tryTime/2 {
			t.Errorf("it went back after %v", took)
		}
		for name, h := range f.hosts {
			if h.trial != "" || h.spec != digest(oldSpec) {
				t.Errorf("%s: %+v", name, h)
			}
		}
	})
}

// TestConcurrentPushes: of two concurrent pushes, one is in force on all hosts and the other changed nothing.
func TestConcurrentPushes(t *testing.T) {
	for _, lead := range []time.Duration{0, 50, 150, 250, 450, 650, 950, 1150} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(2)
			first := make(chan outcome, 1)
			go func() { first <- f.push(t, t.Context(), func(p *Push) { p.ID = "first" }) }()
			time.Sleep(lead * time.Millisecond)
			codes := []int{f.push(t, t.Context(), func(p *Push) { p.ID = "second" }).code, (<-first).code}
			slices.Sort(codes)
			if codes[0] != 0 || codes[1] != 4 && codes[1] != 0 {
				t.Errorf("%v apart: exit codes %v", lead*time.Millisecond, codes)
			}
			if specs := f.specs(); !slices.Equal(specs, []string{"new", "new"}) {
				t.Errorf("%v apart: %v", lead*time.Millisecond, specs)
			}
		})
	}
}

// TestConcurrentPushesOfDifferentSpecs: a second push with another spec begins at any time during the first. One is in
// force on all hosts; the other reports at once that it is in force on none.
func TestConcurrentPushesOfDifferentSpecs(t *testing.T) {
	other, err := api.Parse("other.yaml", []byte(strings.Replace(newSpec, "port: 9000", "port: 9001", 1)))
	if err != nil {
		t.Fatal(err)
	}
	for lead := time.Duration(0); lead < 20*callTime; lead += callTime / 2 {
		for _, slow := range []bool{false, true} { // the second one waits before it tries
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(2)
				first := make(chan outcome, 1)
				go func() { first <- f.push(t, t.Context(), func(p *Push) { p.ID = "first" }) }()
				time.Sleep(lead)
				began := time.Now()
				second := f.push(t, t.Context(), func(p *Push) {
					p.ID, p.Doc = "second", other
					p.Ask = func(string) bool {
						if slow {
							time.Sleep(20 * callTime)
						}
						return true
					}
				})
				took := time.Since(began)
				codes := []int{(<-first).code, second.code}
				if codes[0] != 0 && codes[0] != Failed || codes[1] != 0 && codes[1] != Failed {
					t.Errorf("%v apart, slow %v: exit codes %v\n%s", lead, slow, codes, second.err)
				}
				if took > tryTime {
					t.Errorf("%v apart, slow %v: the second one took %v", lead, slow, took)
				}
				want := map[int]string{0: "other", Failed: "new"}[codes[1]]
				if specs := f.specs(); codes[0] != 0 && codes[1] != 0 || !slices.Equal(specs, []string{want, want}) {
					t.Errorf("%v apart, slow %v: exit codes %v, the hosts have %v", lead, slow, codes, specs)
				}
			})
		}
	}
}

// TestFinish: a push that finishes an interrupted one does not touch a host that was confirmed already.
func TestFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(3)
		f.hosts["lb1"].spec = digest(newSpec)
		o := f.push(t, t.Context())
		if o.code != 0 || !strings.HasPrefix(f.changes(), "lb2 try, lb3 try, ") || strings.Contains(f.changes(), "lb1") {
			t.Errorf("%+v\n%s", o, f.changes())
		}
		f.calls = nil
		if o := f.push(t, t.Context()); o.code != 0 || f.changes() != "" || !strings.Contains(o.stdout, "nothing to do: spec.yaml is in force on lb1, lb2 and lb3") {
			t.Errorf("nothing to do: %+v\n%s", o, f.changes())
		}
	})
}

func TestEntrances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(2)
		var asked []string
		o := f.push(t, t.Context(), func(p *Push) {
			p.Sees = sees(func(target string) bool { asked = append(asked, target); return false })
		})
		if o.code != 0 || !slices.Equal(asked, []string{"198.51.100.100:9000"}) || !strings.Contains(o.stderr, "does not reach it: 198.51.100.100:9000") {
			t.Errorf("asked %v: %+v", asked, o)
		}
		f = newFleet(2)
		if o := f.push(t, t.Context(), func(p *Push) { p.Sees = nil }); o.code != 0 || !strings.Contains(o.stderr, "since this machine is a load balancer itself") {
			t.Errorf("%+v", o)
		}
	})
}

// TestAllowFrom: a push brings an allowFrom into force that keeps the pushing machine out: it does not test what it will not
// reach.
func TestAllowFrom(t *testing.T) {
	for from, want := range map[string]string{
		"firewall: {allowFrom: [10.0.0.0/8]}\n":                "not checked from here, since allowFrom keeps this machine out: 198.51.100.100:9000\n",
		"firewall: {allowFrom: [10.0.0.0/8], manage: false}\n": "and clients reach 198.51.100.100:9000\n",
		"firewall: {allowFrom: [10.0.0.0/8, 192.0.2.0/24]}\n":  "and clients reach 198.51.100.100:9000\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			doc, err := api.Parse("spec.yaml", []byte(newSpec+from))
			if err != nil {
				t.Fatal(err)
			}
			f := newFleet(2)
			shut := strings.HasPrefix(want, "not checked")
			o := f.push(t, t.Context(), func(p *Push) {
				p.Doc = doc
				p.Sees = sees(func(string) bool { return !shut || f.hosts["lb1"].trial == "" })
			})
			if o.code != 0 || !strings.Contains(o.stderr, want) {
				t.Errorf("%s: exit code %d, %s\n%s", from, o.code, o.err, o.stderr)
			}
		})
	}
}
