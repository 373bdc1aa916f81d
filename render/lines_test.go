package render

import (
	"testing"
	"time"

	"rlb.dev/rlb-agent/api"
)

func TestMillis(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Millisecond:                 "1ms",
		3 * time.Second:                  "3000ms",
		time.Minute:                      "60000ms", // as the original writes it
		2 * time.Minute:                  "2m",
		90 * time.Second:                 "90000ms",
		time.Hour:                        "1h",
		4 * time.Hour:                    "4h",
		90 * time.Minute:                 "90m",
		time.Hour + time.Millisecond:     "3600001ms",
		2147483647 * time.Millisecond:    "2147483647ms", // the longest that the spec and HAProxy allow
		61*time.Second + time.Nanosecond: "61000ms",
	} {
		if got := millis(new(api.Duration(d))); got != want {
			t.Errorf("millis(%s) = %s, want %s", d, got, want)
		}
	}
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{
		10 * time.Millisecond:    "0.01",
		100 * time.Millisecond:   "0.1",
		time.Second:              "1",
		1250 * time.Millisecond:  "1.25",
		40950 * time.Millisecond: "40.95",
		time.Hour:                "3600",
	} {
		if got := seconds(new(api.Duration(d))); got != want {
			t.Errorf("seconds(%s) = %s, want %s", d, got, want)
		}
	}
}
