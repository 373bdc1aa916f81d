package importer

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// expected reads the statuses of http-check expect.
func (c *check) expected(m *mapping, s statement) {
	words := s.words[2:]
	for len(words) > 1 && (words[0] == "error-status" || words[0] == "ok-status" || words[0] == "min-recv" || words[0] == "comment" || words[0] == "tout-status" || words[0] == "on-success" || words[0] == "on-error") {
		c.keep = c.keep || words[0] == "error-status" && (words[1] == "L7OKC" || words[1] == "L7OKCD")
		words = words[2:]
	}
	not := len(words) > 0 && words[0] == "!"
	if not {
		words = words[1:]
	}
	if len(words) < 2 || words[0] != "status" && words[0] != "rstatus" {
		m.lost(s.line, "http-check expect", "healthCheck expects statuses, not a text: 2xx and 3xx are used")
		return
	}
	good := func(int) bool { return false }
	list, isList := strings.Join(words[1:], ""), words[0] == "status"
	if among, ok := strings.CutPrefix(list, "^("); ok && !isList { // ^(200|401)$ is a list
		if among, ok = strings.CutSuffix(among, ")$"); ok && !strings.ContainsFunc(among, func(r rune) bool { return r != '|' && (r < '0' || r > '9') }) {
			list, isList = strings.ReplaceAll(among, "|", ","), true
		}
	}
	if !isList {
		pattern, err := regexp.Compile(words[1])
		if err != nil || len(words[1]) > 200 {
			m.lost(s.line, "http-check expect", "%s cannot be read", printable(words[1]))
			return
		}
		good = func(status int) bool { return pattern.MatchString(strconv.Itoa(status)) }
	} else if ranges, ok := statusRanges(list); ok {
		good = func(status int) bool {
			return slices.ContainsFunc(ranges, func(r [2]int) bool { return status >= r[0] && status <= r[1] })
		}
		if single := listed(ranges); !not && len(single) == len(ranges) { // keeps the order of the file
			c.expect = single
			return
		}
	}
	c.expect = statuses(func(status int) bool { return good(status) != not })
	if len(c.expect) == 0 {
		m.lost(s.line, "http-check expect", "no status fits it: 2xx and 3xx it is")
	}
}

// listed returns the statuses of ranges that hold one status, 100 to 599, without duplicates.
func listed(ranges [][2]int) (all []int) {
	for _, r := range ranges {
		if r[0] == r[1] && r[0] >= 100 && r[0] <= 599 && !slices.Contains(all, r[0]) && len(all) < 100 {
			all = append(all, r[0])
		}
	}
	return all
}

// statusRanges reads a list of statuses and ranges of statuses.
func statusRanges(text string) (all [][2]int, ok bool) {
	for _, part := range strings.Split(text, ",") {
		least, most, isRange := strings.Cut(part, "-")
		if !isRange {
			most = least
		}
		a, err1 := strconv.Atoi(least)
		b, err2 := strconv.Atoi(most)
		if err1 != nil || err2 != nil || len(all) >= 1000 {
			return nil, false
		}
		all = append(all, [2]int{a, b})
	}
	return all, true
}

// registered are the final statuses of the registry (IANA, HTTP Status Code Registry).
var registered = []int{200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408,
	409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 500, 501, 502, 503, 504, 505, 506, 507, 508, 511}

// statuses returns the statuses that fit: all of them if there are at most 10, else only registered ones.
func statuses(fits func(status int) bool) (all []int) {
	for status := 100; status <= 599; status++ {
		if fits(status) {
			all = append(all, status)
		}
	}
	if len(all) > 10 {
		all = slices.DeleteFunc(all, func(status int) bool { return !slices.Contains(registered, status) })
	}
	return all
}
