package plan

import (
	"context"
	"errors"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// sysctls finds the settings of before that a teardown brings back. What an earlier run found counts: by now they are the
// agent's.
func (s *search) sysctls(ctx context.Context) error {
	if s.facts.Sysctls != nil {
		return nil
	}
	for key := range render.HandoverSysctls(s.spec, s.facts.Interface) {
		value, known := s.kept.Sysctls[key]
		if !known {
			var err error
			if value, err = s.Observer.Sysctl(ctx, key); err != nil && !errors.Is(err, host.ErrUnavailable) {
				return err
			}
		}
		if value == "" {
			continue
		}
		if s.facts.Sysctls == nil {
			s.facts.Sysctls = map[string]string{}
		}
		s.facts.Sysctls[key] = value
	}
	return nil
}
