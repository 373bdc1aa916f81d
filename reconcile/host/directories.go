package host

// The directories of the agent on a host.
const (
	StateDir = "/var/lib/rlb" // kept across a reboot
	RunDir   = "/run/rlb"     // lost at a reboot
)
