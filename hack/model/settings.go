package model

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"strconv"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

// variant is a spec of a pair.
type variant struct {
	priorities [2]int
	preempt    bool
	delay      time.Duration // vrrp.preemptDelay
	interval   time.Duration // between advertisements
	handover   bool
	router     int // virtual router id; 0 is the default
}

func (v variant) String() string {
	return fmt.Sprintf("priorities %v, preempt %t after %v, every %v, handover %t", v.priorities, v.preempt, v.delay, v.interval, v.handover)
}

// spec returns the spec file.
func (v variant) spec() (*api.Document, error) {
	id := ""
	if v.router > 0 {
		id = fmt.Sprintf(", routerID: %d", v.router)
	}
	text := fmt.Sprintf(`apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [%s]
vrrp: {advertisementInterval: %v, preempt: %t, preemptDelay: %v, handover: %s%s}
services:
- name: kube-apiserver
  port: 9000
  servers:
  - {name: cp1, address: 198.51.100.21, port: 6443}
nodes:
- {name: lb1, addresses: [%s], priority: %d}
- {name: lb2, addresses: [%s], priority: %d}
`, vip, v.interval, v.preempt, v.delay, map[bool]string{true: "forward", false: "none"}[v.handover], id,
		addressOf(0), v.priorities[0], addressOf(1), v.priorities[1])
	return api.Parse("spec.yaml", []byte(text))
}

// settings are the settings of a host of a pair: the spec as the agent has it, and the values from the files that the real
// renderer made.
type settings struct {
	force state.InForce
	doc   *api.Document
	files *fake.Host // a host with the spec in force; each run clones its files

	priority     int
	advertise    time.Duration
	preempts     bool
	preemptDelay time.Duration
	interval     time.Duration // interval of the check script
	rise, fall   int
	refresh      time.Duration // vrrp_garp_master_refresh
	restart      time.Duration // RestartSec of keepalived's unit
	hands        bool
}

// addressOf returns the address of a host of a pair.
func addressOf(node int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, 100, byte(11 + node)}) }

// prepare brings the spec of a variant into force on a fake host, and reads the result.
func prepare(ctx context.Context, v variant, node int) (settings, error) {
	doc, err := v.spec()
	if err != nil {
		return settings{}, err
	}
	h := fake.New()
	h.Net = []host.Interface{{Name: "eth0", Prefixes: []netip.Prefix{netip.PrefixFrom(addressOf(node), 24)}}}
	if _, err := (&reconcile.Reconciler{Host: h, Log: slog.New(slog.DiscardHandler)}).Once(ctx, doc); err != nil {
		return settings{}, err
	}
	force, err := state.ReadInForce(ctx, h)
	if err != nil {
		return settings{}, err
	}
	force.Spec = nil // as the daemon does
	h.Reboot()       // the hosts of a run are off
	s := settings{force: *force, doc: doc, files: h, preempts: v.preempt, hands: force.Hands}
	return s, s.read()
}

// read reads the rendered files.
func (s *settings) read() error {
	conf, unit := s.files.Text(render.DefaultKeepalivedConfig), s.files.Text(render.KeepalivedDropIn)
	number := func(text, word string) float64 {
		found := regexp.MustCompile(`(?m)^\s*` + word + `[ =]+([0-9.]+)(?:ms)?$`).FindStringSubmatch(text)
		if found == nil {
			return 0
		}
		value, _ := strconv.ParseFloat(found[1], 64)
		return value
	}
	seconds := func(value float64) time.Duration { return time.Duration(value * float64(time.Second)) }
	s.priority = int(number(conf, "priority"))
	s.advertise = seconds(number(conf, "advert_int"))
	s.preemptDelay = seconds(number(conf, "preempt_delay"))
	s.interval = seconds(number(conf, "interval"))
	s.rise, s.fall = int(number(conf, "rise")), int(number(conf, "fall"))
	s.refresh = seconds(number(conf, "vrrp_garp_master_refresh"))
	s.restart = seconds(number(unit, "RestartSec") / 1000)
	if s.priority == 0 || s.advertise == 0 || s.interval == 0 || s.rise == 0 || s.fall == 0 || s.refresh == 0 || s.restart == 0 {
		return fmt.Errorf("cannot read what was rendered: %+v\n%s\n%s", s, conf, unit)
	}
	if preempts := !regexp.MustCompile(`(?m)^\s*nopreempt$`).MatchString(conf); preempts != s.preempts {
		return fmt.Errorf("cannot read what was rendered: preempt %t", preempts)
	}
	return nil
}
