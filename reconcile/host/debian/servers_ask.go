package debian

import (
	"bufio"
	"cmp"
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

// AskServer connects to a server and sends the request of its health check.
func (h *Host) AskServer(ctx context.Context, q host.ServerQuestion) (answer host.ServerAnswer, err error) {
	var dialer net.Dialer
	tcp, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(q.Address, strconv.Itoa(q.Port)))
	if err != nil {
		return answer, err
	}
	defer tcp.Close()                                                               //nolint:errcheck // what was read is there
	defer context.AfterFunc(ctx, func() { _ = tcp.SetDeadline(time.Unix(1, 0)) })() // interrupts reads and writes
	if !q.Type.HTTP() || q.StatusNotAskable {
		return answer, nil
	}
	conn := tcp
	if q.Type == api.CheckHTTPS {
		// HAProxy does not verify without a caFile, and doctor still wants to see an expired certificate
		// #nosec G402 -- nothing is sent but the health check, and VerifyConnection judges the certificates
		conn = tls.Client(tcp, &tls.Config{InsecureSkipVerify: true, ServerName: q.Host, VerifyConnection: func(s tls.ConnectionState) error {
			lookAtCertificates(&answer, s.PeerCertificates, q)
			return nil
		}})
	}
	if answer.Status, err = askStatus(conn, q); err != nil {
		return answer, cmp.Or(ctx.Err(), err)
	}
	return answer, nil
}

// maxAnswer is the largest header of an answer, in octets.
const maxAnswer = 64 << 10

// askStatus sends one request like that of the health check, and returns the status of the answer. http.Transport, which
// can do much more, would make up a hundredth of the program.
func askStatus(conn net.Conn, q host.ServerQuestion) (status int, err error) {
	target, err := url.ParseRequestURI(q.Path)
	if err != nil {
		return 0, err
	}
	target.Host = cmp.Or(q.Host, conn.RemoteAddr().String())
	request := &http.Request{Method: q.Method, URL: target, Close: true}
	if err := request.Write(conn); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, maxAnswer)), request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, nil // the body can be long or endless
}

// lookAtCertificates records when the server's certificate expires, and whether it is trusted.
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
	// like HAProxy without verifyhost; an expired certificate is reported by its date
	options := x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: answer.Expires.Add(-time.Minute)}
	if _, err := chain[0].Verify(options); err != nil {
		answer.Untrusted = err.Error()
	}
}
