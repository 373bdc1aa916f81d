// Package lab boots real Debian hosts on one machine for tests, the demo and benchmarks.
//
// Each host is a systemd-nspawn container with its own systemd, its own packages from a repository on its own disk,
// and its own network namespace. A bridge in one more namespace is the switch between the hosts, the control planes
// and the clients. Nothing connects this switch to the machine's network, and every address is from the documentation
// ranges 198.51.100.0/24 and 2001:db8::/64.
//
// Only one lab of a Lane exists on a machine at a time: New waits for the previous one to end, and removes what a
// killed one left.
package lab
