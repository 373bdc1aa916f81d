package debian

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
)

// AskServer connects to a server, and asks what its health check asks.
func (h *Host) AskServer(ctx context.Context, q host.ServerQuestion) (answer host.ServerAnswer, err error) {
	target := net.JoinHostPort(q.Address, strconv.Itoa(q.Port))
	var dialer net.Dialer
	if !q.Type.HTTP() || q.StatusNotAskable {
		conn, err := dialer.DialContext(ctx, "tcp", target)
		if err != nil {
			return answer, err
		}
		return answer, conn.Close()
	}
	// HAProxy does not verify without a caFile, and doctor still wants to see an expired certificate
	// #nosec G402 -- nothing is sent but the health check, and VerifyConnection judges the certificates
	config := &tls.Config{InsecureSkipVerify: true, ServerName: q.Host, VerifyConnection: func(s tls.ConnectionState) error {
		lookAtCertificates(&answer, s.PeerCertificates, q)
		return nil
	}}
	transport := &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: config, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	at := url.URL{Scheme: "http", Host: target, Path: q.Path}
	if q.Type == api.CheckHTTPS {
		at.Scheme = "https"
	}
	if parsed, err := url.Parse(q.Path); err == nil {
		at.Path, at.RawQuery = parsed.Path, parsed.RawQuery
	}
	request, err := http.NewRequestWithContext(ctx, q.Method, at.String(), nil)
	if err != nil {
		return answer, err
	}
	request.Host = q.Host
	response, err := transport.RoundTrip(request) // follows no redirect, and asks no proxy
	if err != nil {
		return answer, err
	}
	defer response.Body.Close() //nolint:errcheck // only read
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	answer.Status = response.StatusCode
	return answer, nil
}

// lookAtCertificates notes when the server's certificate expires, and whether it is trusted.
func lookAtCertificates(answer *host.ServerAnswer, chain []*x509.Certificate, q host.ServerQuestion) {
	if len(chain) == 0 {
		return
	}
	answer.Expires = chain[0].NotAfter
	if q.CA == nil {
		return
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(q.CA)
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	// as HAProxy does without verifyhost; an expired one is told by its date
	options := x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: answer.Expires.Add(-time.Minute)}
	if _, err := chain[0].Verify(options); err != nil {
		answer.Untrusted = err.Error()
	}
}
