package export

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// exposition is Prometheus' text format, version 0.0.4.
type exposition struct{ strings.Builder }

const expositionType = "text/plain; version=0.0.4; charset=utf-8"

// The types of metrics.
const (
	gauge     = "gauge"
	counter   = "counter"
	histogram = "histogram"
)

// family begins a metric. Its samples follow.
func (e *exposition) family(name, kind, help string) *samples {
	fmt.Fprintf(e, "# HELP %s %s\n# TYPE %s %s\n", name, strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(help), name, kind)
	return &samples{e, name}
}

// samples are the values of one metric.
type samples struct {
	e    *exposition
	name string
}

// add adds a value. labels alternate between names and values.
func (s *samples) add(value float64, labels ...string) *samples { return s.addTo("", value, labels...) }

func (s *samples) addTo(suffix string, value float64, labels ...string) *samples {
	s.e.WriteString(s.name + suffix)
	for i := 0; i+1 < len(labels); i += 2 {
		s.e.WriteString(map[bool]string{true: "{", false: ","}[i == 0])
		fmt.Fprintf(s.e, `%s="%s"`, labels[i], strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(labels[i+1]))
	}
	if len(labels) > 1 {
		s.e.WriteString("}")
	}
	s.e.WriteString(" " + number(value) + "\n")
	return s
}

// set adds a state set: 1 for the present state, 0 for the others.
func set[S ~string](s *samples, label string, is S, all []S, more ...string) {
	for _, state := range all {
		s.add(truth(state == is), append([]string{label, string(state)}, more...)...)
	}
}

func number(value float64) string { return strconv.FormatFloat(value, 'g', -1, 64) }

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// seconds converts a time to Prometheus' unit, seconds since 1970.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
