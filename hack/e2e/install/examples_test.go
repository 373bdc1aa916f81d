package install

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
)

// TestExamplesOfDistributions: each example of a Kubernetes distribution, in the lab's network and with servers that
// answer like that distribution's: one run brings it into force, and clients reach the servers of each service through
// its virtual IP.
func TestExamplesOfDistributions(t *testing.T) {
	w := e2e.New(t)
	h := w.ControlPlanes(lab.Trixie)[0]
	own, there := h.Addr().String(), map[string]*lab.Client{}
	for _, example := range []struct {
		name   string
		self   string // the example's address of this host
		readyz int    // status for an anonymous client
	}{
		{"kubeadm", ".241", http.StatusOK},
		{"kubeadm-stacked", ".251", http.StatusOK},
		{"k3s", "", http.StatusUnauthorized},
		{"rke2", "", http.StatusUnauthorized},
		{"microk8s", "", http.StatusUnauthorized},
		{"talos", "", http.StatusUnauthorized},
		{"openshift", "", http.StatusOK},
	} {
		t.Run(example.name, func(t *testing.T) {
			h := h.In(t)
			data, err := os.ReadFile("../../../examples/" + example.name + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			text := strings.ReplaceAll(string(data), "192.168.3.", "198.51.100.")
			if example.self != "" {
				text = strings.NewReplacer("198.51.100"+example.self+"]", own+"]", "198.51.100"+example.self+",", own+",").Replace(text)
			}
			doc, err := api.Parse(example.name, []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			f := fakes{World: h.World, readyz: example.readyz, there: there, served: map[string]bool{}}
			if example.name == "kubeadm-stacked" { // one of the servers is on this host
				h.Must("systemctl", "start", e2e.APIServerUnit)
				defer h.Must("systemctl", "stop", e2e.APIServerUnit)
				f.served[own+":6443"] = true
			}
			for _, s := range doc.Spec.Services {
				f.serve(&s)
			}
			h.Apply(text)
			for _, s := range doc.Spec.Services {
				vip := doc.Spec.VirtualIPs[0].Addr().String()
				if s.Bind[0] != "*" {
					vip = s.Bind[0]
				}
				f.reached(&s, fmt.Sprintf("%s:%d", vip, *s.Port))
			}
			if out := h.Converges("the example"); !strings.Contains(out, "nothing to do") {
				t.Errorf("one more run: %s", out)
			}
		})
	}
}

// fakes are the servers of an example: they answer with their address, and /readyz like the distribution.
type fakes struct {
	*e2e.World
	readyz int
	there  map[string]*lab.Client // by address; they stay for the next example
	served map[string]bool        // address and port
}

// serve opens the ports of a service, and those of its checks.
func (f *fakes) serve(s *api.Service) {
	f.Helper()
	for _, server := range s.Servers {
		at := fmt.Sprintf("%s:%d", server.Address, *server.Port)
		f.open(at, secure(s))
		if check := s.HealthCheck.Port; check != nil && *check != *server.Port {
			f.open(fmt.Sprintf("%s:%d", server.Address, *check), s.HealthCheck.Type == api.CheckHTTPS)
		}
	}
}

// secure reports whether a service's servers speak TLS: all except plain HTTP.
func secure(s *api.Service) bool { return *s.Port != 80 }

func (f *fakes) open(at string, tlsToo bool) {
	f.Helper()
	if f.served[at] {
		return
	}
	f.served[at] = true
	addr := netip.MustParseAddrPort(at).Addr()
	station := f.there[addr.String()]
	if station == nil {
		var err error
		if station, err = f.Lab.AddClient(f.Context(), fmt.Sprintf("s%d", addr.As4()[3]), netip.PrefixFrom(addr, 24)); err != nil {
			f.Fatal(err)
		}
		f.there[addr.String()] = station
	}
	listener, err := station.Listen(at)
	if err != nil {
		f.Fatal(err)
	}
	if tlsToo {
		config, _, err := lab.SelfSigned("fake", addr)
		if err != nil {
			f.Fatal(err)
		}
		listener = tls.NewListener(listener, config)
	}
	web := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			w.WriteHeader(f.readyz)
		}
		fmt.Fprintln(w, at)
	})}
	go web.Serve(listener)
	f.Cleanup(func() { web.Close() })
}

// reached waits until each server of a service has answered a client; if the client's address chooses the server, one
// of them.
func (f *fakes) reached(s *api.Service, target string) {
	f.Helper()
	scheme := "http"
	if secure(s) {
		scheme = "https"
	}
	web := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, _, at string) (net.Conn, error) { return f.Client.Dial(ctx, at) },
	}}
	want := len(s.Servers)
	if s.Balance == "source" {
		want = 1
	}
	seen := map[string]bool{}
	f.Eventually(fmt.Sprintf("%s leads to %d servers of %s", target, want, s.Name), 15*time.Second, func() bool {
		if response, err := web.Get(scheme + "://" + target + "/"); err == nil {
			name, _ := io.ReadAll(response.Body)
			response.Body.Close()
			seen[string(name)] = true
		}
		return len(seen) >= want
	})
}
