package lab

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Mode is how a control plane behaves.
type Mode struct {
	kind  string
	code  int
	delay time.Duration
}

// The modes that need no number.
var (
	OK           = Mode{kind: "ok"}                      // all is well
	Unauthorized = Mode{kind: "unauthorized", code: 401} // /readyz asks who is there
	Hang         = Mode{kind: "hang"}                    // connections open and nothing is answered, on old ones neither
	Refuse       = Mode{kind: "refuse"}                  // nothing listens, and old connections are reset
	Plain        = Mode{kind: "plain"}                   // answers new connections without TLS
	Stranger     = Mode{kind: "stranger"}                // shows new connections a certificate that nobody knows
	Expired      = Mode{kind: "expired"}                 // … that was valid until an hour ago
	Expiring     = Mode{kind: "expiring"}                // … that is valid for 20 days more
)

// Fail is the mode in which /readyz answers with the status code; the other paths still answer.
func Fail(code int) Mode { return Mode{kind: "fail", code: code} }

// Slow is the mode in which every answer comes after a delay.
func Slow(delay time.Duration) Mode { return Mode{kind: "slow", delay: delay} }

// ParseMode reads what String writes: ok, fail, fail=503, unauthorized, hang, refuse, plain, stranger, expired, expiring, slow=200ms.
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

// String names the mode.
func (m Mode) String() string {
	switch m.kind {
	case "fail":
		return fmt.Sprintf("fail=%d", m.code)
	case "slow":
		return "slow=" + m.delay.String()
	}
	return m.kind
}
