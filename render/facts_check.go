package render

import (
	"errors"
	"fmt"
	"path"
	"regexp"
)

var (
	factInterface = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._@-]{0,14}$`)
	factVersion   = regexp.MustCompile(`^([0-9]+:)?[0-9]+\.[0-9][A-Za-z0-9.+~-]*$|^$`) // deb-version(7), with a minor version
	factSysctl    = regexp.MustCompile(`^[0-9]$`)
	factSetting   = regexp.MustCompile(`^net/ipv4/(conf/[A-Za-z0-9_][A-Za-z0-9._@-]{0,14}/arp_(ignore|announce)|tcp_fwmark_accept)$`)
	factPath      = regexp.MustCompile(`^/[A-Za-z0-9/._+@:,=-]+$`)
)

// check refuses facts that could add a word or a line to a rendered file. Facts come from flags, from units, from names
// of interfaces that others chose, and from the stored state of an earlier run.
func (f Facts) check() error {
	if !factInterface.MatchString(f.Interface) {
		return fmt.Errorf("cannot use interface %q: must be a name of 1 to 15 letters, digits and ._@-", f.Interface)
	}
	if f.Interface == "lo" {
		return errors.New("cannot use interface lo: keepalived refuses the loopback interface")
	}
	for _, v := range []struct {
		program string
		version Version
		example string
	}{{"haproxy", f.HAProxyVersion, "2.6.12-1"}, {"keepalived", f.KeepalivedVersion, "1:2.2.7-1"}} {
		if len(v.version) > 128 || !factVersion.MatchString(string(v.version)) {
			return fmt.Errorf("cannot use version %q of %s: must be a Debian version, as %s", v.version, v.program, v.example)
		}
	}
	for _, p := range []struct{ of, path string }{
		{"haproxy.cfg", f.HAProxyConfig}, {"keepalived.conf", f.KeepalivedConfig}, {"systemctl", f.Systemctl},
	} {
		if !factPath.MatchString(p.path) || len(p.path) > 4095 || path.Clean(p.path) != p.path {
			return fmt.Errorf("cannot use path %q of %s: must be an absolute path of letters, digits and /._+@:,=-", p.path, p.of)
		}
	}
	for key, value := range f.Sysctls {
		if !factSetting.MatchString(key) {
			return fmt.Errorf("cannot use %q as a setting of the kernel: the agent sets no such one", key)
		}
		if !factSysctl.MatchString(value) {
			return fmt.Errorf("cannot use %q as the former value of %s: must be a digit", value, key)
		}
	}
	for _, server := range f.Nameservers {
		if !server.IsValid() || server.Zone() != "" {
			return fmt.Errorf("cannot use name server %q: must be an address without a zone", server)
		}
	}
	for _, subnet := range f.Subnets {
		if !subnet.IsValid() {
			return fmt.Errorf("cannot use subnet %q of interface %s: must be an address and a prefix length", subnet, f.Interface)
		}
	}
	return nil
}
