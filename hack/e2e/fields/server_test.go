package fields

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// waitTime limits every wait.
const waitTime = 10 * time.Second

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(waitTime); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", waitTime, what)
		}
	}
}

// listen accepts connections.
func listen(t *testing.T, address string, serve func(net.Conn)) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
}

// greeter sends its name to a client that has sent something, and keeps the connection open.
func greeter(t *testing.T, address, name string) {
	t.Helper()
	listen(t, address, func(c net.Conn) {
		defer c.Close()
		if _, err := c.Read(make([]byte, 1)); err == nil {
			io.WriteString(c, name+"\n")
			io.Copy(io.Discard, c)
		}
	})
}

// first collects the first bytes of each connection.
type first struct {
	mu  sync.Mutex
	all []string
}

func (f *first) serve(c net.Conn) {
	defer c.Close()
	var said []byte
	buffer := make([]byte, 512)
	for len(said) < len(buffer) { // a header may arrive in a segment of its own
		c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, err := c.Read(buffer)
		said = append(said, buffer[:n]...)
		if err != nil {
			break
		}
	}
	f.mu.Lock()
	f.all = append(f.all, string(said))
	f.mu.Unlock()
	io.WriteString(c, "seen\n")
}

func (f *first) has(fits func(string) bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.all, fits)
}

// health answers checks with a variable status, or not at all.
type health struct {
	status  atomic.Int32
	wrong   atomic.Int32 // number of answers with 500 before that
	answers atomic.Int32 // number of answers so far
	hang    atomic.Bool
}

// serve starts to answer. The returned function stops it: then checks are refused.
func (h *health) serve(t *testing.T, address string) (refuse func()) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return h.serveOn(t, l)
}

func (h *health) serveOn(t *testing.T, l net.Listener) (refuse func()) {
	h.status.Store(200)
	server := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.hang.Load() {
			<-r.Context().Done()
		}
		status := int(h.status.Load())
		if h.wrong.Add(-1) >= 0 {
			status = 500
		}
		h.answers.Add(1)
		w.WriteHeader(status)
	})}
	t.Cleanup(func() { server.Close() })
	go server.Serve(l)
	return func() { server.Close() }
}

// certificate returns a self-signed certificate for some names.
func certificate(t *testing.T, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: names}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// ask sends pieces with pauses between them, and returns the answered line, or the error.
func ask(address string, pieces ...string) string {
	c, err := net.DialTimeout("tcp", address, waitTime)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	return answer(c, pieces...)
}

func answer(c net.Conn, pieces ...string) string {
	c.SetDeadline(time.Now().Add(waitTime))
	for i, piece := range pieces {
		if i > 0 {
			time.Sleep(200 * time.Millisecond)
		}
		if _, err := io.WriteString(c, piece); err != nil {
			return err.Error()
		}
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return line[:len(line)-1]
}
