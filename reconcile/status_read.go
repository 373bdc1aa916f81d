package reconcile

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
)

// statusOf asks the host how it is. look is nil where nobody has looked yet, doc where the spec is not to be had, for the reason in specErr.
func statusOf(ctx context.Context, w Observer, doc *api.Document, specErr error, look *Look, last Status, now time.Time) (Status, error) {
	memory, err := readMemory(ctx, w)
	if err != nil && !errors.Is(err, ErrUnavailable) {
		return Status{}, err
	}
	s := Status{
		APIVersion: api.APIVersion, Kind: "LoadBalancerStatus", Role: RoleUnknown,
		ObservedGeneration: memory.Generation, LastReconcile: last.LastReconcile,
	}
	s.set(last, now, "SpecValid", specErr == nil, "Parsed", "Refused", specErr)
	if doc == nil {
		s.set(last, now, "Ready", false, "", "SpecRefused", specErr)
		return s, nil
	}
	s.Metadata.Name, s.SpecDigest, s.Generation = doc.Spec.Metadata.Name, doc.Digest, memory.Generation
	if doc.Digest != memory.Digest {
		s.Generation++
	}
	if look == nil {
		look = new(Look)
		*look, err = FactFinder{Observer: w}.Look(ctx, &doc.Spec)
	}
	s.Node = look.Desired.Facts.Node
	s.Versions.HAProxy, s.Versions.Keepalived = string(look.Desired.Facts.HAProxyVersion), string(look.Desired.Facts.KeepalivedVersion)
	todo := err
	if steps := look.Plan.Steps(); err == nil && len(steps) > 0 {
		todo = fmt.Errorf("still to do: %v", steps[0])
	}
	s.set(last, now, "InSync", todo == nil, "AsWanted", "Differs", todo)

	s.role(ctx, w, look.Observed.Units[keepalivedUnit])
	serving := s.virtualIPs(ctx, w, doc)
	serving = errors.Join(serving, s.services(ctx, w, doc, *look))
	s.set(last, now, "Serving", serving == nil, "AllServicesServe", "NotServing", serving)
	s.set(last, now, "Ready", todo == nil && serving == nil, "InSyncAndServing", "NotReady", errors.Join(todo, serving))
	return s, nil
}

// role is keepalived's own word; of two instances that stay together the worse one counts.
func (s *Status) role(ctx context.Context, w Observer, unit Unit) {
	if unit.Name == "" {
		return
	}
	if !unit.Active() {
		s.Role = RoleStopped
		return
	}
	instances, err := w.VRRP(ctx, unit.MainPID)
	if err != nil {
		return
	}
	order := map[Role]int{RoleMaster: 1, RoleBackup: 2, RoleFault: 3}
	for _, i := range instances {
		if s.Role == RoleUnknown || order[i.Role] > order[s.Role] {
			s.Role, s.RoleSince = i.Role, i.Since
		}
	}
}

// virtualIPs looks which are on an interface: keepalived may think otherwise.
func (s *Status) virtualIPs(ctx context.Context, o Observer, doc *api.Document) error {
	interfaces, err := o.Interfaces(ctx)
	if err != nil {
		return err
	}
	held := map[netip.Addr]bool{}
	for _, i := range interfaces {
		for _, prefix := range i.Prefixes {
			held[prefix.Addr()] = true
		}
	}
	var wrong []string
	for _, v := range doc.Spec.VirtualIPs {
		s.VirtualIPs = append(s.VirtualIPs, VirtualIPStatus{v.Addr().String(), held[v.Addr()]})
		if held[v.Addr()] != (s.Role == RoleMaster) && s.Role != RoleUnknown {
			wrong = append(wrong, v.Addr().String())
		}
	}
	switch {
	case s.Role == RoleFault || s.Role == RoleStopped:
		return fmt.Errorf("this host cannot take the virtual IPs: its role is %s", s.Role)
	case len(wrong) > 0:
		return fmt.Errorf("the role is %s, but the interface says otherwise of %s", s.Role, strings.Join(wrong, ", "))
	}
	return nil
}

func (s *Status) services(ctx context.Context, w Observer, doc *api.Document, look Look) error {
	var listening []netip.AddrPort
	var states []ServerState
	if unit := look.Observed.Units[haproxyUnit]; unit.Active() {
		workers, err := w.Workers(ctx, masterSocket(unit))
		if err != nil {
			return err
		}
		if listening, err = w.Listeners(ctx, workers.Current...); err != nil {
			return err
		}
		if states, err = w.Servers(ctx); err != nil {
			return err
		}
	}
	var problems []error
	for _, service := range doc.Spec.Services {
		status := ServiceStatus{Name: service.Name, Port: *service.Port, Listening: true}
		for _, l := range listen(&doc.Spec, service) {
			status.Listening = status.Listening && slices.Contains(listening, l)
		}
		up := 0
		for _, state := range states {
			if state.Backend == service.Name {
				status.Servers = append(status.Servers, state)
				if state.Up() {
					up++
				}
			}
		}
		switch {
		case !status.Listening:
			problems = append(problems, fmt.Errorf("service %s does not listen on port %d", service.Name, *service.Port))
		case up == 0 && len(status.Servers) > 0:
			problems = append(problems, fmt.Errorf("service %s has no server that is up", service.Name))
		}
		s.Services = append(s.Services, status)
	}
	return errors.Join(problems...)
}

// set adds a condition. Its transition time is the last one's as long as the status stays.
func (s *Status) set(last Status, now time.Time, kind string, good bool, reasonTrue, reasonFalse string, why error) {
	c := Condition{Type: kind, Status: "True", Reason: reasonTrue, LastTransitionTime: now, ObservedGeneration: s.ObservedGeneration}
	if !good {
		c.Status, c.Reason = "False", reasonFalse
		if why != nil {
			c.Message = why.Error()
		}
	}
	for _, before := range last.Conditions {
		if before.Type == kind && before.Status == c.Status {
			c.LastTransitionTime = before.LastTransitionTime
		}
	}
	s.Conditions = append(s.Conditions, c)
}

// Is says whether a condition is true.
func (s Status) Is(kind string) bool {
	for _, c := range s.Conditions {
		if c.Type == kind {
			return c.Status == "True"
		}
	}
	return false
}

// ReadStatus is the status of this host now. It changes nothing. look is what was found just now, or nil.
func ReadStatus(ctx context.Context, w Observer, doc *api.Document, specErr error, look *Look) (Status, error) {
	var last Status
	if err := readJSON(ctx, w, StatusFile, &last); err != nil && !errors.Is(err, ErrUnavailable) {
		return Status{}, err
	}
	return statusOf(ctx, w, doc, specErr, look, last, time.Now().Truncate(time.Second))
}
