package lab

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Mode is the behaviour of a control plane.
type Mode struct {
	kind  string
	code  int
	delay time.Duration
}

// The modes without a number.
var (
	OK           = Mode{kind: "ok"}                      // everything works
	Unauthorized = Mode{kind: "unauthorized", code: 401} // /readyz requires authentication
	Hang         = Mode{kind: "hang"}                    // connections open but nothing is answered, on old connections neither
	Refuse       = Mode{kind: "refuse"}                  // nothing listens, and old connections are reset
	Plain        = Mode{kind: "plain"}                   // answers new connections without TLS
	Stranger     = Mode{kind: "stranger"}                // presents an unknown certificate to new connections
	Expired      = Mode{kind: "expired"}                 // … one that expired an hour ago
	Expiring     = Mode{kind: "expiring"}                // … one that is valid for 20 more days
)

// Fail returns the mode in which /readyz answers with the status code; the other paths still answer.
func Fail(code int) Mode { return Mode{kind: "fail", code: code} }

// Slow returns the mode in which every answer is delayed.
func Slow(delay time.Duration) Mode { return Mode{kind: "slow", delay: delay} }

// ParseMode parses the output of String: ok, fail, fail=503, unauthorized, hang, refuse, plain, stranger, expired,
// expiring, slow=200ms.
func ParseMode(text string) (Mode, error) {
	kind, value, _ := strings.Cut(text, "=")
	for _, m := range []Mode{OK, Unauthorized, Hang, Refuse, Plain, Stranger, Expired, Expiring} {
		if m.kind == text {
			return m, nil
		}
	}
	switch kind {
	case "fail":
		if value == "" {
			return Fail(500), nil
		}
		if code, err := strconv.Atoi(value); err == nil && 200 <= code && code < 600 {
			return Fail(code), nil
		}
	case "slow":
		if delay, err := time.ParseDuration(value); err == nil {
			return Slow(delay), nil
		}
	}
	return Mode{}, fmt.Errorf("cannot use mode %q: ok, fail[=CODE], unauthorized, hang, refuse, plain, stranger, expired, expiring or slow=DURATION", text)
}

// String returns the name of the mode.
func (m Mode) String() string {
	switch m.kind {
	case "fail":
		return fmt.Sprintf("fail=%d", m.code)
	case "slow":
		return "slow=" + m.delay.String()
	}
	return m.kind
}
