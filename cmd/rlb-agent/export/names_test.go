package export

import (
	"net"
	"os"
	"testing"
)

// TestNames: a browser that requests this host under a web site's name (DNS rebinding) gets neither
// the page nor the metrics.
func TestNames(t *testing.T) {
	s := newShown(t)
	metrics, web := free(t), free(t)
	s.host.Put("/etc/hosts", "127.0.0.1 localhost\n# 198.51.100.9 commented.example\n198.51.100.11 lb1.example.org lb1 # evil.example\n", 0o644)
	s.run("nodes: [{name: node1.example.org, addresses: [198.51.100.11]}, {name: node2.example.org, addresses: [198.51.100.12]}]\n" +
		"metrics: {address: '" + metrics + "'}\nweb: {address: '" + web + "'}\n")
	names := map[string]int{
		"localhost": 200, "LOCALHOST:8345": 200, "localhost.": 200, "127.0.0.1:8345": 200, "[::1]:8345": 200, "::1": 200, "[::1]": 200, "192.0.2.1": 200,
		"lb1": 200, "lb1:9345": 200, "LB1.example.org:9345": 200, "lb1.example.org.": 200, "node1.example.org:9345": 200, "node2.example.org": 200,
		"evil.example": 403, "evil.example:8345": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403, "lb1.evil.example": 403,
		"commented.example": 403, "198.51.100.11.": 200, "": 403, ":9345": 403,
	}
	if own, err := os.Hostname(); err == nil {
		names[own] = 200
	}
	for _, at := range []string{metrics, web} {
		addr, err := net.ResolveTCPAddr("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		for name, code := range names {
			if response, _ := say(t, addr, "GET /metrics HTTP/1.1\r\nHost: "+name+"\r\n\r\n"); response.StatusCode != code {
				t.Errorf("%s: Host %q: %d, want %d", at, name, response.StatusCode, code)
			}
		}
		if response, _ := say(t, addr, "GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"); response.StatusCode != 403 {
			t.Errorf("absolute target: %d", response.StatusCode)
		}
		if response, _ := say(t, addr, "GET /metrics HTTP/1.0\r\n\r\n"); response.StatusCode != 403 {
			t.Errorf("no Host: %d", response.StatusCode)
		}
	}
}
