// Command apiserver replaces a kube-apiserver as a process of its own: on the hosts of the lab, or in a namespace of
// it. A lab.ControlPlane is part of the test's process; this one can be killed, stopped, and terminated like a real
// one.
//
// On SIGTERM /readyz answers 500 at once. The server serves on for the delay, then ends its watches in order, completes
// the requests in flight, and exits, as a kube-apiserver does (Kubernetes, "Graceful shutdown of the API server").
// SIGUSR1 makes /readyz answer 500 for ever. SIGHUP replaces its certificate by an unknown one. SIGUSR2 ends both.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// longestShutdown limits how long requests in flight may take at the end.
const longestShutdown = time.Minute

func main() {
	var s server
	flag.StringVar(&s.name, "name", "", "what it answers; default the host's name")
	bind := flag.String("bind-address", "0.0.0.0", "where it listens")
	port := flag.Int("secure-port", 6443, "its port")
	flag.DurationVar(&s.delay, "shutdown-delay-duration", 0, "how long it serves on after SIGTERM")
	cert := flag.String("tls-cert-file", "", "its certificate and key; made where it is not there. Default: new ones each time")
	flag.Parse()
	if s.name == "" {
		s.name, _ = os.Hostname()
	}
	if err := s.run(net.JoinHostPort(*bind, strconv.Itoa(*port)), *bind, *cert); err != nil {
		fmt.Fprintln(os.Stderr, "apiserver:", err)
		os.Exit(1)
	}
}

type server struct {
	name   string
	delay  time.Duration
	sick   atomic.Bool
	config atomic.Pointer[tls.Config]
	ending chan struct{} // closed when watches must end
}

func (s *server) run(at, bind, certFile string) error {
	addr, err := netip.ParseAddr(bind)
	if err != nil {
		return fmt.Errorf("cannot use the address: %w", err)
	}
	own, err := s.certificate(certFile, addr)
	if err != nil {
		return err
	}
	s.config.Store(own)
	s.ending = make(chan struct{})
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGHUP)
	plain, err := net.Listen("tcp", at) // on 0.0.0.0 it accepts IPv6 too, as a kube-apiserver does
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	listener := tls.NewListener(plain, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.config.Load(), nil }})
	web := &http.Server{Handler: s.handler(), ErrorLog: log.New(io.Discard, "", 0)}
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(listener) }()
	for {
		select {
		case err := <-failed:
			return fmt.Errorf("cannot serve: %w", err)
		case sig := <-signals:
			switch sig {
			case syscall.SIGUSR1:
				s.sick.Store(true)
			case syscall.SIGUSR2:
				s.sick.Store(false)
				s.config.Store(own)
			case syscall.SIGHUP:
				stranger, _, err := lab.SelfSigned(s.name, addr)
				if err != nil {
					return err
				}
				s.config.Store(stranger)
			default:
				return s.end(web)
			}
		}
	}
}

// certificate returns the certificate of a file, if the file is named and exists; else a new one, which is written to a
// named file.
func (s *server) certificate(file string, addr netip.Addr) (*tls.Config, error) {
	if pair, err := tls.LoadX509KeyPair(file, file); err == nil {
		return &tls.Config{Certificates: []tls.Certificate{pair}, SessionTicketsDisabled: true}, nil
	} else if file != "" && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	config, text, err := lab.SelfSigned(s.name, addr)
	if err != nil || file == "" {
		return config, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(config.Certificates[0].PrivateKey)
	if err != nil {
		return nil, err
	}
	return config, os.WriteFile(file, append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...), 0o600)
}

// end shuts down after SIGTERM.
func (s *server) end(web *http.Server) error {
	s.sick.Store(true)
	time.Sleep(s.delay)
	close(s.ending)
	ctx, cancel := context.WithTimeout(context.Background(), longestShutdown)
	defer cancel()
	return web.Shutdown(ctx)
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if s.sick.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, s.name) })
	mux.HandleFunc(lab.HangPath, s.watch)
	mux.HandleFunc(lab.ListPath, s.list)
	return mux
}

// watch answers with the name, and then sends nothing until the client or the server ends it.
func (s *server) watch(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintln(w, s.name)
	_ = http.NewResponseController(w).Flush()
	select {
	case <-s.ending:
	case <-r.Context().Done():
	}
}

// list sends an answer that takes as long as the query d says, and ends with a line "end".
func (s *server) list(w http.ResponseWriter, r *http.Request) {
	long, err := time.ParseDuration(r.URL.Query().Get("d"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintln(w, s.name)
	for end := time.Now().Add(long); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		fmt.Fprintln(w, "item")
		if http.NewResponseController(w).Flush() != nil {
			return
		}
	}
	fmt.Fprintln(w, "end")
}
