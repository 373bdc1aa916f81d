package haproxy

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// ErrMalformed is wrapped by the error for an answer that cannot be parsed.
var ErrMalformed = errors.New("malformed answer")

// Servers asks the HAProxy at a stats socket for the servers of all backends (management guide §9.3, "show stat").
func Servers(ctx context.Context, socket string) ([]host.ServerState, error) {
	answer, err := ask(ctx, socket, "show stat -1 4 -1\n") // any proxy, servers only, any server
	if err != nil {
		return nil, fmt.Errorf("cannot ask haproxy for its servers: %w", err)
	}
	states, err := parseStat(answer, time.Now())
	if err != nil {
		return nil, fmt.Errorf("cannot ask haproxy for its servers: %w: %w", ErrMalformed, err)
	}
	return states, nil
}

// parseStat parses HAProxy's statistics in CSV (management guide §9.1). There can be 100,000 rows of a hundred columns
// each, so parseStat copies only the fields it needs.
func parseStat(text string, now time.Time) ([]host.ServerState, error) {
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "# ")))
	r.FieldsPerRecord, r.ReuseRecord = -1, true
	var malformed error
	rows := func(yield func([]string) bool) {
		for {
			row, err := r.Read()
			if err != nil && err != io.EOF {
				malformed = err
			}
			if err != nil || !yield(row) {
				return
			}
		}
	}
	var states []host.ServerState
	for get := range byColumn(rows) {
		keep := func(name string) string { return strings.Clone(get(name)) }
		s := host.ServerState{Backend: keep("pxname"), Name: keep("svname"), Address: keep("addr"), State: keep("status")}
		words := checkWords(get("check_status"), get("check_code"), get("last_chk"), get("check_desc"))
		s.Reason = strings.Join(strings.Fields(words), " ") // a server's answer may have several lines
		if strings.Contains(s.State, "resolution") {        // "MAINT (resolution)"
			s.Reason = "its DNS name does not resolve"
		}
		s.HTTPStatus = httpStatus(get("check_status"), get("check_code"))
		s.Checking = strings.HasPrefix(get("check_status"), underWay)
		s.Checked = !strings.Contains(get("check_status"), "INI")
		s.Weight, _ = strconv.Atoi(get("weight"))
		if seconds, err := strconv.Atoi(get("lastchg")); err == nil {
			s.Since = now.Add(-time.Duration(seconds) * time.Second).Truncate(time.Second)
		}
		states = append(states, s)
	}
	return states, malformed
}

// byColumn yields a lookup by column name for each row below the heading, valid until the next row. Columns are found by
// name because every version of HAProxy adds some.
func byColumn(rows iter.Seq[[]string]) iter.Seq[func(name string) string] {
	return func(yield func(func(string) string) bool) {
		var column map[string]int
		for row := range rows {
			if column == nil {
				column = map[string]int{}
				for i, name := range row {
					column[strings.Clone(name)] = i
				}
				continue
			}
			if !yield(func(name string) string {
				if i, ok := column[name]; ok && i < len(row) {
					return row[i]
				}
				return ""
			}) {
				return
			}
		}
	}
}
