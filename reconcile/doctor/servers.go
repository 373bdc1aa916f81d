package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
)

const (
	maxServers  = 200             // the most servers that are probed: a spec may have millions
	atATime     = 32              // the most probes at a time
	askPatience = 3 * time.Second // timeout of one probe
	expirySoon  = 30 * 24 * time.Hour
)

// serverAnswer is the answer of one server of a service.
type serverAnswer struct {
	service *api.Service
	server  *api.Server
	answer  host.ServerAnswer
	err     error
}

func (a serverAnswer) target() string {
	address := a.server.Address
	if strings.Contains(address, ":") {
		address = "[" + address + "]"
	}
	return address + ":" + strconv.Itoa(checkedPort(a.service, a.server))
}

func checkedPort(s *api.Service, server *api.Server) int {
	if s.HealthCheck.Port != nil {
		return *s.HealthCheck.Port
	}
	return *server.Port
}

// askServers probes the servers of all services as their health checks do, but at most maxServers.
func askServers(ctx context.Context, e *exam) (answers []serverAnswer) {
	for i := range e.spec.Services {
		service := &e.spec.Services[i]
		for j := range service.Servers {
			if len(answers) < maxServers {
				answers = append(answers, serverAnswer{service: service, server: &service.Servers[j]})
			}
		}
	}
	var all sync.WaitGroup
	slots := make(chan struct{}, atATime)
	for i := range answers {
		a := &answers[i]
		ca, err := e.ca(ctx, a.service.HealthCheck.CAFile)
		if err != nil {
			a.answer.Untrusted = err.Error()
			continue
		}
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			within, cancel := context.WithTimeout(ctx, askPatience)
			defer cancel()
			check := a.service.HealthCheck
			proxied := a.service.SendProxyProtocol != "" && a.service.SendProxyProtocol != api.ProxyNone && check.Port == nil
			a.answer, a.err = e.host.AskServer(within, host.ServerQuestion{
				Address: a.server.Address, Port: checkedPort(a.service, a.server), Type: check.Type, Method: check.Method,
				Path: check.Path, Host: check.Host, CA: ca, StatusNotAskable: proxied,
			})
		})
	}
	all.Wait()
	return answers
}

func (e *exam) ca(ctx context.Context, path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	f, err := e.host.File(ctx, path)
	if err == nil && !f.Exists {
		err = fmt.Errorf("cannot read caFile %s: it does not exist", path)
	}
	return f.Data, err
}

// servers judges the answers by the rules of the health checks.
func servers(_ context.Context, e *exam) (found []Finding, note string, err error) {
	for _, a := range e.answers {
		who := fmt.Sprintf("server %s of service %s", a.server.Name, a.service.Name)
		check := a.service.HealthCheck
		switch left := a.answer.Expires.Sub(e.Now); {
		case a.err != nil:
			found = append(found, errorf(who+" is unreachable", fmt.Sprintf("start it, and let this host's addresses reach %s (firewall of the server, routes: ip route get %s)", a.target(), a.routeTarget()),
				"%s: %v", a.target(), a.err))
			continue
		case a.answer.Untrusted != "":
			found = append(found, errorf(who+" has a certificate that caFile does not verify", "give "+check.CAFile+" the certificate of the authority that signed the server's",
				"%s: %s", a.target(), a.answer.Untrusted))
		case a.answer.Expires.IsZero():
		case left < 0:
			found = append(found, errorf("the certificate of "+who+" has expired", renew, "%s: it was valid until %s", a.target(), a.answer.Expires.UTC().Format(time.RFC3339)))
		case left < expirySoon:
			found = append(found, warningf(fmt.Sprintf("the certificate of %s expires in %d days", who, int(left.Hours()/24)), renew,
				"%s: it is valid until %s", a.target(), a.answer.Expires.UTC().Format(time.RFC3339)))
		}
		if status := a.answer.Status; status != 0 && !slices.Contains(check.ExpectStatus, status) {
			fix := "look at the server's log; curl -k " + schemeOf(check.Type) + a.target() + check.Path + " shows the answer"
			if status == 401 || status == 403 {
				fix = fmt.Sprintf("add %d to healthCheck.expectStatus of the service, or let the server answer %s without a login", status, check.Path)
			}
			found = append(found, errorf(fmt.Sprintf("%s answers %d", who, status), fix, "%s %s of %s gives status %d, and the health check takes %v", check.Method, check.Path, a.target(), status, check.ExpectStatus))
		}
	}
	if len(e.answers) == maxServers {
		note = fmt.Sprintf("asked the first %d servers", maxServers)
	}
	return found, note, nil
}

// renew is the fix for a kube-apiserver. kubeadm issues its certificates for one year.
const renew = "renew it on the server (kubeadm certs renew apiserver, then restart the kube-apiserver)"

func schemeOf(t api.HealthCheckType) string {
	if t == api.CheckHTTPS {
		return "https://"
	}
	return "http://"
}

// routeTarget returns the argument for "ip route get": the server's address, or a text if the server has a name.
func (a serverAnswer) routeTarget() string {
	if _, err := netip.ParseAddr(a.server.Address); err == nil {
		return a.server.Address
	}
	return "the address of " + a.server.Address
}
