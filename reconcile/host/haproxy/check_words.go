package haproxy

import (
	"strconv"
	"strings"
)

// checkMeanings explains HAProxy's health check codes in plain words (management guide §9.1, check_status).
var checkMeanings = map[string]string{
	"UNK":     "no check has finished yet",
	"INI":     "not checked yet",
	"SOCKERR": "the connection broke",
	"L4OK":    "accepts connections",
	"L4TOUT":  "does not accept connections within the check's timeout",
	"L4CON":   "does not accept connections",
	"L6OK":    "speaks TLS",
	"L6TOUT":  "accepts connections, but does not finish the TLS handshake within the check's timeout",
	"L6RSP":   "accepts connections, but the TLS handshake fails",
	"L7OK":    "answers the check",
	"L7OKC":   "answers the check with a status that does not count as healthy",
	"L7TOUT":  "accepts connections, but does not answer the check within its timeout",
	"L7RSP":   "answers the check with something that is not HTTP",
	"L7STS":   "answers the check with a status that does not count as healthy",
	"PROCERR": "the external check fails",
	"PROCOK":  "the external check is good",
}

// underWay precedes the code of the last check while a further check runs.
const underWay = "* "

// checkWords describes the last health check in words, followed by HAProxy's own code: "does not accept connections:
// Connection refused (L4CON)". A "* " before the code means that a further check runs: HAProxy then no longer has the
// status and the details of the last check, and reports 0.
func checkWords(status, code, contents, description string) string {
	status, again := strings.CutPrefix(status, underWay)
	if status == "" {
		return ""
	}
	if again && code == "0" {
		code = ""
	}
	words := checkMeanings[status]
	if words == "" {
		words = description
	}
	number, _ := strconv.Atoi(code)
	answer := strings.TrimSpace(code + " " + statusNames[number])
	switch {
	case (status == "L7STS" || status == "L7OKC") && (number == 401 || number == 403):
		words = "answers the check with HTTP status " + answer + ": anonymous access to it seems off; " +
			"healthCheck.expectStatus: [200, " + code + "] makes that count as healthy"
	case (status == "L7STS" || status == "L7OKC") && number > 0:
		words = "answers the check with HTTP status " + answer + ", which does not count as healthy"
	case status == "L7OK" && (number == 401 || number == 403):
		words += " with HTTP status " + answer + ", which counts as healthy; the check does not show whether the server is ready"
	case status == "L7OK" && number > 0:
		words += " with HTTP status " + answer
	case contents != "" && contents != description:
		words += ": " + contents
	}
	return strings.TrimSpace(words + " (" + strings.TrimSpace(status+" "+code) + ")")
}

// httpStatus returns the HTTP status of the answer to a health check; 0 if HAProxy reports none.
func httpStatus(status, code string) int {
	number, _ := strconv.Atoi(code)
	if !strings.HasPrefix(strings.TrimPrefix(status, underWay), "L7") || number < 100 || number > 599 {
		return 0
	}
	return number
}

// statusNames holds the statuses of a control plane that is not ready, and those of common mistakes. The whole table is in
// net/http, which would make the program a third larger.
var statusNames = map[int]string{
	200: "OK", 204: "No Content", 301: "Moved Permanently", 302: "Found", 307: "Temporary Redirect", 308: "Permanent Redirect",
	400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 429: "Too Many Requests",
	500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
}
