// Package lab boots real Debian hosts on one machine for tests, the demo and benchmarks.
//
// Each host is a systemd-nspawn container: its own systemd, its own packages from a repository on its own disk and its
// own network namespace. A bridge in one more namespace is the switch between the hosts, the control planes and the
// clients. Nothing joins that switch to the machine's network, and every address is from the documentation ranges
// 198.51.100.0/24 and 2001:db8::/64.
//
// One lab exists on a machine at a time; New waits for the one before to end and sweeps what a killed one left.
package lab
