package debian

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
)

// TestAskServer: the answer has the expiry of a server's certificate and the status 401. The certificate is verified with
// caFile only.
func TestAskServer(t *testing.T) {
	ends := time.Now().Add(10 * 24 * time.Hour).UTC().Truncate(time.Second)
	certificate, own := certificateUntil(t, ends)
	_, another := certificateUntil(t, ends)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" || r.Host != "api.example.org" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	defer server.Close()
	address, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	number, _ := strconv.Atoi(port)
	h := &Host{}
	for name, c := range map[string]struct {
		ca      []byte
		trusted bool
	}{"no CA": {nil, true}, "its own": {own, true}, "another": {another, false}} {
		q := host.ServerQuestion{Address: address, Port: number, Type: api.CheckHTTPS, Method: "GET", Path: "/readyz", Host: "api.example.org", CA: c.ca}
		a, err := h.AskServer(t.Context(), q)
		if err != nil || a.Status != 401 || !a.Expires.Equal(ends) || (a.Untrusted == "") != c.trusted {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
	server.Close()
	if _, err := h.AskServer(t.Context(), host.ServerQuestion{Address: address, Port: number, Type: api.CheckTCP}); err == nil {
		t.Error("a server that is gone answers")
	}
}

// TestAskServerReadsTheStatusOnly: only the status is read, not a long body or one that does not end.
func TestAskServerReadsTheStatusOnly(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(make([]byte, 3*maxAnswer))
		if r.URL.Path == "/endless" {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
	}))
	defer server.Close()
	address, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	number, _ := strconv.Atoi(port)
	for _, path := range []string{"/long", "/endless"} {
		a, err := (&Host{}).AskServer(ctx, host.ServerQuestion{Address: address, Port: number, Type: api.CheckHTTP, Method: "GET", Path: path})
		if err != nil || a.Status != 200 {
			t.Errorf("%s: %+v, %v", path, a, err)
		}
	}
}

// certificateUntil makes a self-signed certificate.
func certificateUntil(t *testing.T, ends time.Time) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: ends.AddDate(-1, 0, 0), NotAfter: ends, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
