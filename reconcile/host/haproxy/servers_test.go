package haproxy

import (
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestCheckWords shows the text for the check results that HAProxy 2.2 to 3.0 reports.
func TestCheckWords(t *testing.T) {
	for _, test := range []struct{ status, code, contents, description, want string }{
		{"L4OK", "", "", "Layer4 check passed", "accepts connections (L4OK)"},
		{"L4CON", "", "Connection refused", "Layer4 connection problem", "does not accept connections: Connection refused (L4CON)"},
		{"* L4TOUT", "", "", "Layer4 timeout", "does not accept connections within the check's timeout (L4TOUT)"},
		{"L6RSP", "", "SSL handshake failure", "Layer6 invalid response", "accepts connections, but the TLS handshake fails: SSL handshake failure (L6RSP)"},
		{"L7OK", "200", "", "Layer7 check passed", "answers the check with HTTP status 200 OK (L7OK 200)"},
		{"L7STS", "500", "HTTP status check returned code <500>", "Layer7 wrong status",
			"answers the check with HTTP status 500 Internal Server Error, which does not count as healthy (L7STS 500)"},
		{"L7OKC", "500", "HTTP status check returned code <500>", "Layer7 check conditionally passed",
			"answers the check with HTTP status 500 Internal Server Error, which does not count as healthy (L7OKC 500)"},
		{"* L7OKC", "0", "", "Layer7 check conditionally passed", "answers the check with a status that does not count as healthy (L7OKC)"},
		{"* L7OK", "0", "", "Layer7 check passed", "answers the check (L7OK)"},
		{"L7STS", "418", "", "Layer7 wrong status", "answers the check with HTTP status 418, which does not count as healthy (L7STS 418)"},
		{"L7OK", "401", "HTTP status check returned code <401>", "Layer7 check passed", "answers the check with HTTP status 401 Unauthorized, " +
			"which counts as healthy; the check does not show whether the server is ready (L7OK 401)"},
		{"L7STS", "401", "HTTP status check returned code <401>", "Layer7 wrong status", "answers the check with HTTP status 401 Unauthorized: anonymous access to it seems off; " +
			"healthCheck.expectStatus: [200, 401] makes that count as healthy (L7STS 401)"},
		{"L7TOUT", "", "", "Layer7 timeout", "accepts connections, but does not answer the check within its timeout (L7TOUT)"},
		{"INI", "", "", "Initializing", "not checked yet (INI)"},
		{"NEW", "", "", "Something new", "Something new (NEW)"},
		{"", "", "", "", ""},
	} {
		if got := checkWords(test.status, test.code, test.contents, test.description); got != test.want {
			t.Errorf("%s %s: got %q, want %q", test.status, test.code, got, test.want)
		}
	}
}

// TestHTTPStatus: only an HTTP answer has a status; the codes of other checks are no HTTP status.
func TestHTTPStatus(t *testing.T) {
	for _, test := range []struct {
		status, code string
		want         int
	}{{"L7OK", "200", 200}, {"L7OKC", "500", 500}, {"* L7STS", "503", 503}, {"* L7OKC", "0", 0}, {"L7OK", "", 0}, {"L7RSP", "0", 0}, {"PROCERR", "255", 0}, {"L4CON", "111", 0}} {
		if got := httpStatus(test.status, test.code); got != test.want {
			t.Errorf("%s %s: %d, want %d", test.status, test.code, got, test.want)
		}
	}
}

func TestParseStat(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 1, 0, 0, time.UTC)
	states, err := parseStat(strings.Join([]string{
		"# pxname,svname,status,lastchg,check_status,check_code,last_chk,check_desc,addr,",
		"api,cp1,DOWN,7,L7STS,503,,Layer7 wrong status,198.51.100.21:6443,",
		"api,cp2,no check,9,,,,,198.51.100.22:6443,",
		"api,cp3,MAINT (resolution),60,,,,,cp3.example:6443,",
		"api,cp4,NOLB,7,* L7OKC,0,,Layer7 check conditionally passed,198.51.100.24:6443,",
	}, "\n"), now)
	if err != nil || len(states) != 4 {
		t.Fatalf("%v, %v", err, states)
	}
	first := states[0]
	if first.Backend != "api" || first.Name != "cp1" || first.State != "DOWN" || first.Up() || !first.Since.Equal(now.Add(-7*time.Second)) ||
		!strings.HasSuffix(first.Reason, "(L7STS 503)") || first.HTTPStatus != 503 {
		t.Errorf("%+v", first)
	}
	if second := states[1]; second.Reason != "" || !second.Up() || second.HTTPStatus != 0 {
		t.Errorf("%+v", second)
	}
	if fourth := states[3]; first.Checking || !fourth.Checking || !fourth.Checked || !strings.HasSuffix(fourth.Reason, "(L7OKC)") {
		t.Errorf("%+v, %+v", first, fourth)
	}
	if third := states[2]; third.Reason != "its DNS name does not resolve" || third.Up() {
		t.Errorf("%+v", third)
	}
}

// TestHostileServer: a server's answer to a check cannot control a terminal or forge a log line.
func TestHostileServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stats.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, conn) // the question
		_, _ = io.WriteString(conn, "# pxname,svname,status,check_status,last_chk,\nmail,cp1,DOWN,L7STS,\"\x1b[2J\u009b31m554 no\r\nerror: up\",\n\n")
		_ = conn.Close()
	}()
	states, err := Servers(t.Context(), path)
	if err != nil || len(states) != 1 {
		t.Fatalf("%v, %v", err, states)
	}
	if reason := states[0].Reason; !strings.HasSuffix(reason, ": [2J31m554 no error: up (L7STS)") {
		t.Errorf("%q", reason)
	}
}

// TestParseStatOfManyServers: HAProxy reports a hundred columns for each of 100,000 servers. Unused columns take no memory.
func TestParseStatOfManyServers(t *testing.T) {
	const servers, columns = 5_000, 100
	row := "api,cp1,UP,7,L4OK,,,Layer4 check passed,198.51.100.21:6443," + strings.Repeat("0,", columns)
	text := "# pxname,svname,status,lastchg,check_status,check_code,last_chk,check_desc,addr," + strings.Repeat("more,", columns) + strings.Repeat("\n"+row, servers)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	states, err := parseStat(text, time.Now())
	runtime.ReadMemStats(&after)
	if err != nil || len(states) != servers {
		t.Fatalf("%d servers, %v", len(states), err)
	}
	took := int(after.TotalAlloc - before.TotalAlloc)
	t.Logf("%d bytes for %d", took/servers, len(row))
	if took > servers*2*columns*8 { // the columns as strings would take 16 bytes each
		t.Errorf("%d bytes a server", took/servers)
	}
}
