package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

const (
	between  = 20 * time.Millisecond // requests, each on a new connection: 50/s
	patience = 10 * time.Second      // timeout of a request
	tooSlow  = time.Second           // a request that takes longer is counted
	watches  = 9
	listTime = 15 * time.Second // of the long LIST
	lead     = 2 * time.Second  // how long the LIST is in progress before the fault
	healing  = 12 * time.Second // how long clients are watched after the heal
)

// clients are the clients of one station. They know the servers' certificates, as clients of a
// cluster do.
type clients struct {
	http *http.Client
}

func newClients(station *lab.Client, certificates []byte) *clients {
	known := x509.NewCertPool()
	known.AppendCertsFromPEM(certificates)
	return &clients{&http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, target string) (net.Conn, error) {
			return station.Dial(ctx, target)
		},
		TLSClientConfig: &tls.Config{
			InsecureSkipVerify: true, // it names the server, not the virtual IP
			VerifyConnection: func(state tls.ConnectionState) error {
				_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: known})
				return err
			},
		},
	}}}
}

// onlyCertificates returns the certificates of a PEM file.
func onlyCertificates(text []byte) (certificates []byte) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			certificates = append(certificates, pem.EncodeToMemory(block)...)
		}
	}
	return certificates
}

// A request was answered, or failed.
type request struct {
	began time.Time
	took  time.Duration
	err   error
}

// A stream is a watch or a LIST, with its end.
type stream struct {
	server string
	body   *bufio.Reader
	stop   context.CancelFunc
	done   chan struct{}
	at     time.Time // when it ended
	last   string    // last line
	err    error     // nil if the server ended it in order
}

// ask makes a request whose answer is the server's name.
func (c *clients) ask(ctx context.Context) (name string, r request) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r.began = time.Now()
	s, err := c.open(ctx, "/")
	if err == nil {
		_, err = io.Copy(io.Discard, s.body)
		name = s.server
		s.stop()
	}
	r.took, r.err = time.Since(r.began), err
	return name, r
}

// open begins a request and reads the first line of the answer, which is the server's name.
func (c *clients) open(ctx context.Context, path string) (*stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+pair.Service+path, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		cancel()
		return nil, err
	}
	s := &stream{body: bufio.NewReader(response.Body), done: make(chan struct{}), stop: func() { cancel(); response.Body.Close() }}
	name, err := s.body.ReadString('\n')
	if err != nil {
		s.stop()
		return nil, err
	}
	s.server = strings.TrimSpace(name)
	return s, nil
}

// follow reads the rest of the answer.
func (s *stream) follow() {
	defer close(s.done)
	for {
		line, err := s.body.ReadString('\n')
		if line != "" {
			s.last = strings.TrimSpace(line)
		}
		if err != nil {
			s.at = time.Now()
			if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				s.err = err
			}
			return
		}
	}
}

// openAt opens streams until each of the servers has "each" of them.
func (c *clients) openAt(ctx context.Context, path string, each int, servers ...*server) (all []*stream, err error) {
	count := map[string]int{}
	for began := time.Now(); len(all) < each*len(servers); {
		s, err := c.open(ctx, path)
		if err != nil || time.Since(began) > 10*time.Second {
			return all, errors.Join(fmt.Errorf("cannot open %d to each server", each), err)
		}
		if count[s.server] == each || !slices.ContainsFunc(servers, func(of *server) bool { return of.name == s.server }) {
			s.stop()
			continue
		}
		count[s.server]++
		all = append(all, s)
		go s.follow()
	}
	return all, nil
}

// steady makes requests until it is stopped.
func (c *clients) steady(ctx context.Context) (stop func() []request) {
	var mu sync.Mutex
	var all []request
	var group sync.WaitGroup
	stopped := make(chan struct{})
	group.Go(func() {
		tick := time.NewTicker(between)
		defer tick.Stop()
		for {
			select {
			case <-stopped:
				return
			case <-tick.C:
			}
			group.Go(func() {
				_, r := c.ask(ctx)
				mu.Lock()
				defer mu.Unlock()
				all = append(all, r)
			})
		}
	})
	return func() []request {
		close(stopped)
		group.Wait()
		return all
	}
}

// served waits until each of the servers has answered, and no request fails for a while.
func (c *clients) served(ctx context.Context, servers []*server) error {
	seen := map[string]bool{}
	good := 0
	return lab.Until(ctx, 60*time.Second, func() bool {
		name, r := c.ask(ctx)
		if r.err != nil {
			good = 0
			clear(seen)
			return false
		}
		good++
		seen[name] = true
		return good >= 30 && len(seen) == len(servers)
	})
}

// during returns what clients see while a fault is made on some of the servers, and healed.
func (c *clients) during(ctx context.Context, f fault, victims, servers []*server) (*view, error) {
	for _, s := range servers {
		if err := s.restart(ctx, f.delay); err != nil {
			return nil, err
		}
	}
	if err := c.served(ctx, servers); err != nil {
		return nil, fmt.Errorf("not all servers serve: %w", err)
	}
	v := &view{victims: map[string]bool{}}
	for _, s := range victims {
		v.victims[s.name] = true
	}
	var err error
	if v.watches, err = c.openAt(ctx, lab.HangPath, watches/len(servers), servers...); err != nil {
		return nil, err
	}
	list, err := c.openAt(ctx, lab.ListPath+"?d="+listTime.String(), 1, victims[0])
	if err != nil {
		return nil, err
	}
	v.list = list[0]
	stop := c.steady(ctx)
	time.Sleep(lead)
	v.struck = time.Now()
	for _, s := range victims {
		if err := s.strike(ctx, f); err != nil {
			return nil, err
		}
	}
	time.Sleep(f.watch)
	v.healed = time.Now()
	v.takeStreams()
	for _, s := range victims {
		if err := s.heal(ctx, f); err != nil {
			return nil, err
		}
	}
	time.Sleep(healing)
	v.requests = stop()
	for _, s := range append(v.watches, v.list) {
		s.stop()
	}
	return v, ctx.Err()
}
