package host

import "testing"

// A manual stop or restart of a unit does not count as its death. The states are those of systemctl(1), observed during
// systemctl restart and after a process killed itself.
func TestDiedSince(t *testing.T) {
	before := Unit{ActiveState: "active", SubState: "running", MainPID: 7, Restarts: 2}
	for name, test := range map[string]struct {
		now  Unit
		died bool
	}{
		"the same":                     {before, false},
		"it stops":                     {Unit{ActiveState: "deactivating", SubState: "stop-sigterm", MainPID: 7, Restarts: 2}, false},
		"stopped":                      {Unit{ActiveState: "inactive", SubState: "dead", Restarts: 2}, false},
		"somebody starts it again":     {Unit{ActiveState: "activating", SubState: "start", MainPID: 8}, false},
		"somebody has restarted it":    {Unit{ActiveState: "active", SubState: "running", MainPID: 8}, false},
		"it reloads":                   {Unit{ActiveState: "reloading", SubState: "reload", MainPID: 7, Restarts: 2}, false},
		"failed":                       {Unit{ActiveState: "failed", SubState: "failed", Restarts: 2}, true},
		"systemd is about to start it": {Unit{ActiveState: "activating", SubState: "auto-restart", Restarts: 2}, true},
		"systemd has started it again": {Unit{ActiveState: "active", SubState: "running", MainPID: 8, Restarts: 3}, true},
	} {
		if died := test.now.DiedSince(before); died != test.died {
			t.Errorf("%s: died %t", name, died)
		}
	}
}
