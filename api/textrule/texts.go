package textrule

import (
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"rlb.dev/rlb-agent/api/yamlfile"
)

// ByTag has our own validator tags. Each rule returns what a text must be, or "" if the text is valid. param is the text
// after "=" in the tag. The rules refuse all texts that could end a word or a line of a rendered file.
var ByTag = map[string]func(text, param string) string{
	"name":       nameRule,
	"ifname":     interfaceRule,
	"path":       pathRule,
	"urlpath":    urlPathRule,
	"debversion": debversionRule,
	"host":       Host,
	"dnsname":    dnsNameRule,
	"sni":        sniRule,
	"words":      wordsRule,
	"unicast":    unicastRule,
	"bind":       bindRule,
	"virtualip":  virtualIPRule,
	"addrport":   addrportRule,
	"cidr":       cidrRule,
	"webaddress": webAddressRule,
}

var (
	namePattern      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	interfacePattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._@-]*$`)
	pathPattern      = regexp.MustCompile(`^/[A-Za-z0-9/._+@:,=-]+$`)
	urlPathPattern   = regexp.MustCompile(`^/[A-Za-z0-9/._~?=&%+,:@!*()-]*$`)
	argumentPattern  = regexp.MustCompile(`^[A-Za-z0-9/._+@:,=%-]+$`)
	// No + or - at the end: apt would install or remove the package instead (apt-get(8)).
	debversionPattern = regexp.MustCompile(`^(?:[0-9*?]+:)?[0-9*?](?:[A-Za-z0-9.+~*?-]*[A-Za-z0-9.~*?])?$`)
	labelPattern      = onDemand(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
	numberPattern     = regexp.MustCompile(`^([0-9]+|0[xX][0-9A-Fa-f]*)$`)
)

func nameRule(text, param string) string {
	limit := 128
	if param != "" {
		limit, _ = strconv.Atoi(param)
	}
	switch {
	case len(text) > limit:
		return fmt.Sprintf("must be at most %d characters", limit)
	case !namePattern.MatchString(text):
		return `must be letters, digits, ".", "_" and "-", with a letter or digit first`
	}
	return ""
}

func interfaceRule(text, _ string) string {
	switch name, _, isAlias := strings.Cut(text, ":"); {
	case isAlias && interfacePattern.MatchString(name):
		return "must be the name of a network interface, without an alias: " + name
	case len(text) > 15 || !interfacePattern.MatchString(text):
		return "must be the name of a network interface"
	case text == "lo":
		return "must not be the loopback interface, which keepalived refuses"
	}
	return ""
}

func pathRule(text, _ string) string {
	switch {
	case !strings.HasPrefix(text, "/"):
		return "must be an absolute path"
	case len(text) > 4095 || !pathPattern.MatchString(text):
		return "must be a path of letters, digits and /._+@:,=-"
	case path.Clean(text) != text:
		return "must be " + yamlfile.Quote(path.Clean(text))
	}
	return ""
}

// Executable is pathRule for the first word of a command.
func Executable(text, _ string) string {
	path, arguments, found := strings.Cut(text, " ")
	words := strings.Split(arguments, " ")
	bad := func(word string) bool { return Argument(word, "") != "" }
	if found && pathRule(path, "") == "" && !slices.ContainsFunc(words, bad) {
		return "must be a path; with arguments it is a list: [" + path + ", " + strings.Join(words, ", ") + "]"
	}
	return pathRule(text, "")
}

// Argument accepts arguments that keepalived passes on unchanged: keepalived expands "$" and "~", and splits at spaces.
func Argument(text, _ string) string {
	if len(text) > 1024 || !argumentPattern.MatchString(text) {
		return "must be an argument of letters, digits and /._+@:,=%-"
	}
	return ""
}

func urlPathRule(text, _ string) string {
	switch {
	case !strings.HasPrefix(text, "/"):
		return `must start with "/"`
	case len(text) > 1024:
		return "must be at most 1024 characters"
	case !urlPathPattern.MatchString(text):
		return "must be letters, digits and /._~?=&%+,:@!*()-"
	}
	return ""
}

// debversionRule accepts versions (deb-version(7)) and globs of them. It refuses "-" and "+" at the end, because apt
// reads them as an order to remove or install the package.
func debversionRule(text, _ string) string {
	if len(text) > 128 || !debversionPattern.MatchString(text) {
		return "must be a Debian version or a glob like 2.6.* or 1:2.2.*"
	}
	return ""
}

// wordsRule accepts raw words on one line.
func wordsRule(text, _ string) string {
	switch {
	case len(text) > 1024:
		return "must be at most 1024 characters"
	case strings.ContainsFunc(text, IsControl):
		return "must be one line without control characters"
	}
	return ""
}

// IsControl reports whether a raw line must not hold the character.
func IsControl(c rune) bool { return unicode.IsControl(c) && c != '\t' }

func webAddressRule(text, _ string) string {
	if socket, ok := strings.CutPrefix(text, "unix:"); ok {
		if len(socket) > 107 {
			return "must be a socket path of at most 107 characters"
		}
		return pathRule(socket, "")
	}
	addrport, err := netip.ParseAddrPort(text)
	if err != nil || addrportRule(text, "") != "" || !addrport.Addr().IsLoopback() {
		return "must be a loopback address and port like 127.0.0.1:8080, or unix:/path"
	}
	return ""
}
