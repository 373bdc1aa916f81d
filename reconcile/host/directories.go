package host

// The directories of the agent on a host.
const (
	StateDir = "/var/lib/rlb" // stays over a boot
	RunDir   = "/run/rlb"     // gone after a boot
)
