package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"rlb.dev/rlb-agent/api"
)

// farm has the healthy servers of a spec: each has an address of its own in 198.51.100.0/24 or 2001:db8::/64.
type farm struct {
	services map[netip.AddrPort]*api.Service // the listening addresses, with the service of each
	usable   map[*api.Service][]string       // the servers that a connection may be led to
	hosts    string                          // text for /etc/hosts
}

// probePath is the path of a client's request; all other requests are health checks.
const probePath = "/rlb-probe"

// newFarm assigns addresses to the servers of a spec, and removes from the spec what a test cannot handle: timeouts of
// milliseconds, more connections than there are file descriptors.
func newFarm(spec *api.LoadBalancerSpec) *farm {
	f := &farm{services: map[netip.AddrPort]*api.Service{}, usable: map[*api.Service][]string{}}
	four, six := netip.MustParseAddr("198.51.100.0"), netip.MustParseAddr("2001:db8::ff")
	if m := spec.Proxy.MaxConnections; m != nil {
		*m = min(max(*m, 200), 2000)
	}
	slow(&spec.Proxy.Timeouts)
	for i := range spec.Services {
		s := &spec.Services[i]
		slow(&s.Timeouts)
		atLeast(s.HealthCheck.Timeout, 5*time.Second)
		atLeast(s.HealthCheck.Interval, 500*time.Millisecond)
		if strings.Contains(s.ExtraServer, "source") {
			s.ExtraServer = "" // it is for IPv4, whatever the server's family
		}
		var first, backup []string
		for j := range s.Servers {
			server := &s.Servers[j]
			before, err := netip.ParseAddr(server.Address)
			at := &six
			if four.As4()[3] < 250 && (err != nil || before.Is4()) {
				at = &four
			}
			*at = at.Next()
			addr := *at
			server.Address = addr.String()
			if err != nil {
				server.Address = fmt.Sprintf("srv%d-%d.example.org", i, j)
				f.hosts += addr.String() + " " + server.Address + "\n"
			}
			where := netip.AddrPortFrom(addr, uint16(*server.Port))
			f.services[where] = s
			if port := s.HealthCheck.Port; port != nil {
				f.services[netip.AddrPortFrom(addr, uint16(*port))] = s
			}
			switch {
			case server.Weight != nil && *server.Weight == 0:
			case server.Backup:
				backup = append(backup, where.String())
			default:
				first = append(first, where.String())
			}
		}
		if f.usable[s] = first; len(first) == 0 {
			f.usable[s] = backup
		}
	}
	return f
}

func slow(t *api.Timeouts) {
	for _, d := range []*api.Duration{t.Connect, t.Client, t.Server, t.Tunnel} {
		atLeast(d, 5*time.Second)
	}
}

func atLeast(d *api.Duration, least time.Duration) {
	if d != nil && d.D() < least {
		*d = api.Duration(least)
	}
}

// listen starts the servers.
func (f *farm) listen(n *network) (stop func(), err error) {
	var all []net.Listener
	var serving sync.WaitGroup
	stop = func() {
		for _, l := range all {
			l.Close()
		}
		serving.Wait() // until then the address is in use
	}
	err = n.servers.do(func() error {
		for at, s := range f.services {
			l, err := net.Listen("tcp", at.String())
			for begin := time.Now(); errors.Is(err, syscall.EADDRINUSE) && time.Since(begin) < time.Second; l, err = net.Listen("tcp", at.String()) {
				time.Sleep(time.Millisecond) // a process that another tree starts has the previous listener until it executes its program
			}
			if err != nil {
				return err
			}
			all = append(all, l)
			serving.Go(func() { serve(l, s) })
		}
		return nil
	})
	if err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

func serve(l net.Listener, s *api.Service) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			_ = answer(conn, s) // the client sees the error too
		}()
	}
}

// answer answers a health check with a status that the service expects, and a client with the server's name and the
// PROXY header.
func answer(conn net.Conn, s *api.Service) error {
	in := bufio.NewReader(conn)
	header, err := proxyHeader(in)
	if err != nil {
		return err
	}
	begin, err := in.Peek(1)
	if err != nil {
		return err
	}
	var peer net.Conn = buffered{conn, in}
	if begin[0] == 0x16 { // a handshake record of TLS
		peer = tls.Server(peer, &tls.Config{GetCertificate: certificate})
	}
	request := textproto.NewReader(bufio.NewReader(peer)) // net/http does not accept paths like /%3q
	line, err := request.ReadLine()
	if err != nil {
		return err
	}
	if _, err := request.ReadMIMEHeader(); err != nil {
		return err
	}
	status := 200
	if !strings.Contains(line, " "+probePath+" ") {
		status = s.HealthCheck.ExpectStatus[max(0, slices.IndexFunc(s.HealthCheck.ExpectStatus, func(status int) bool { return status >= 200 }))]
	}
	_, err = fmt.Fprintf(peer, "HTTP/1.1 %d Answer\r\nContent-Length: 0\r\nConnection: close\r\nX-Server: %s\r\nX-Proxy: %s\r\n\r\n", status, conn.LocalAddr(), header)
	return err
}

type buffered struct {
	net.Conn
	in io.Reader
}

func (b buffered) Read(to []byte) (int, error) { return b.in.Read(to) }

// proxyHeader reads the header of the PROXY protocol, if there is one: its version and the client's address.
func proxyHeader(in *bufio.Reader) (string, error) {
	begin, err := in.Peek(6)
	switch {
	case err != nil && len(begin) == 0:
		return "", err
	case string(begin) == "PROXY ":
		line, err := in.ReadString('\n')
		words := append(strings.Fields(line), "", "")
		return "v1 " + words[2], err
	case !bytes.Equal(begin, []byte("\r\n\r\n\x00\r")):
		return "none", nil
	}
	head := make([]byte, 16)
	if _, err := io.ReadFull(in, head); err != nil {
		return "", err
	}
	rest := make([]byte, binary.BigEndian.Uint16(head[14:]))
	if _, err := io.ReadFull(in, rest); err != nil {
		return "", err
	}
	size := map[byte]int{0x11: 4, 0x21: 16}[head[13]]
	if size == 0 || len(rest) < size { // LOCAL: from a health check
		return "v2 ", nil
	}
	addr, _ := netip.AddrFromSlice(rest[:size])
	return "v2 " + addr.String(), nil
}

// proxied is the client's address in the PROXY header of a connection.
const proxied = "192.0.2.77"

// judge makes the connection from the host, and returns what differs from the spec.
func (p probe) judge(host *namespace, f *farm) string {
	who := fmt.Sprintf("service %s at %s", p.service.Name, p.to)
	if p.serverName != "" {
		who += " for " + p.serverName
	}
	server, header, client, err := p.connect(host)
	usable := f.usable[p.service]
	switch {
	case (p.nobody || len(usable) == 0) && errors.Is(err, errClosed):
		return ""
	case err != nil:
		return fmt.Sprintf("%s: %v", who, err)
	case p.nobody || !slices.Contains(usable, server):
		return fmt.Sprintf("%s leads to %s, want one of %v", who, server, usable)
	}
	if p.service.AcceptProxyProtocol {
		client = proxied
	}
	want := map[api.ProxyProtocol]string{api.ProxyNone: "none", api.ProxyV1: "v1 " + client, api.ProxyV2: "v2 " + client}[p.service.SendProxyProtocol]
	if header != want {
		return fmt.Sprintf("%s: its server was told %q of the client, want %q", who, header, want)
	}
	return ""
}

// errClosed: the connection was accepted and closed without an answer.
var errClosed = errors.New("the connection is closed without an answer")

func (p probe) connect(host *namespace) (server, header, client string, err error) {
	var conn net.Conn
	err = host.do(func() (err error) {
		conn, err = net.DialTimeout("tcp", p.to.String(), 10*time.Second)
		return err
	})
	if err != nil {
		return "", "", "", fmt.Errorf("does not listen: %w", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	client = conn.LocalAddr().(*net.TCPAddr).IP.String()
	if p.service.AcceptProxyProtocol {
		if _, err := fmt.Fprintf(conn, "PROXY TCP4 %s 192.0.2.1 40000 443\r\n", proxied); err != nil {
			return "", "", client, errClosed
		}
	}
	if p.serverName != "" {
		conn = tls.Client(conn, &tls.Config{ServerName: p.serverName, InsecureSkipVerify: true}) // only the name matters
	}
	var timeout net.Error
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.0\r\n\r\n", probePath); err != nil && !(errors.As(err, &timeout) && timeout.Timeout()) {
		return "", "", client, errClosed
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "", "", client, errors.New("no answer within 20s")
	}
	if err != nil {
		return "", "", client, errClosed
	}
	response.Body.Close()
	return response.Header.Get("X-Server"), response.Header.Get("X-Proxy"), client, nil
}

// Our own CA, for the health checks that verify.
var ownKey, ownAuthority = newAuthority()

func newAuthority() (*ecdsa.PrivateKey, *x509.Certificate) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fuzz"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(100 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		panic(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		panic(err)
	}
	return key, cert
}

// ownAuthorityPEM is the CA's certificate for the files that health checks name.
func ownAuthorityPEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ownAuthority.Raw}))
}

// certificate makes a server's certificate for the requested name.
func certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(100 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if hello.ServerName != "" {
		cert.DNSNames = []string{hello.ServerName}
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, ownAuthority, ownKey.Public(), ownKey)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: ownKey}, err
}
