package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"rlb.dev/rlb-agent/reconcile/headroom"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
)

const examplesDir = "../../../examples/monitoring/"

// TestAlerts: the alerts are valid rules, and the tests of each have a case that fires and one that does not.
func TestAlerts(t *testing.T) {
	t.Parallel()
	var rules struct {
		Groups []struct{ Rules []struct{ Alert string } }
	}
	var tests struct {
		Tests []struct {
			AlertRuleTest []struct {
				AlertName string `json:"alertname"`
				Expected  []any  `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		}
	}
	for file, into := range map[string]any{"prometheus-rules.yaml": &rules, "prometheus-rules.test.yaml": &tests} {
		data, err := os.ReadFile(examplesDir + file)
		if err == nil {
			err = yaml.Unmarshal(data, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	fires := map[string][2]bool{} // [does not fire, fires]
	for _, test := range tests.Tests {
		for _, alert := range test.AlertRuleTest {
			tried := fires[alert.AlertName]
			tried[map[bool]int{false: 0, true: 1}[len(alert.Expected) > 0]] = true
			fires[alert.AlertName] = tried
		}
	}
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			if fires[rule.Alert] != [2]bool{true, true} {
				t.Errorf("%s is tried (quiet, loud) %v", rule.Alert, fires[rule.Alert])
			}
		}
	}
	promtool(t, "", "check", "rules", examplesDir+"prometheus-rules.yaml")
	promtool(t, "", "test", "rules", examplesDir+"prometheus-rules.test.yaml")
}

// queries returns the queries of the dashboard with its variables replaced.
func queries(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile(examplesDir + "grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, RefID string }
		}
	}
	if err := json.Unmarshal(data, &dashboard); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			all[panel.Title+" "+target.RefID] = strings.NewReplacer("$instance", ".*", "$job", ".*", "$__rate_interval", "1m", "$__range", "1m").Replace(target.Expr)
		}
	}
	if len(all) < 15 {
		t.Fatalf("only %d queries", len(all))
	}
	return all
}

// TestDashboard: a real Prometheus scrapes two hosts. Every query of the dashboard has a result, and the alerts name
// only metrics that exist.
func TestDashboard(t *testing.T) {
	program := prometheusTool(t, "prometheus")
	t.Parallel()
	addresses := []string{free(t), free(t)}
	hosts := make([]*shown, 2)
	for i := range hosts {
		hosts[i] = newShown(t)
		measured := headroom.Record{Written: time.Now(), Allowed: headroom.Span(time.Second), WorstGap: headroom.Span(time.Second / 3)}
		if err := state.WriteDerived(t.Context(), hosts[i].host, state.HeadroomFile, measured); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			hosts[i].host.Role = host.RoleMaster
			hosts[i].host.Net[1].Prefixes = append(hosts[i].host.Net[1].Prefixes, netip.MustParsePrefix("198.51.100.10/32"))
		}
		hosts[i].run("metrics: {address: '" + addresses[i] + "'}\nnodes:\n- {name: lb1, addresses: [198.51.100.11]}\n- {name: lb2, addresses: [198.51.100.12]}\n")
	}
	ask := startPrometheus(t, program, addresses)
	waiting := time.Now().Add(20 * time.Second)
	for {
		for _, h := range hosts { // as runs of the daemon do
			h.runs.count(status.Converged, 45*time.Millisecond, time.Now())
		}
		if results := ask("count(count_over_time(rlb_reconciles_total[1m]) > 4)"); len(results) == 1 && results[0] == "10" {
			break
		}
		if time.Now().After(waiting) {
			t.Fatal("Prometheus does not scrape both hosts")
		}
		time.Sleep(100 * time.Millisecond)
	}
	for title, query := range queries(t) {
		results := ask(query)
		if len(results) == 0 || slices.Contains(results, "NaN") {
			t.Errorf("%s: %s: %v", title, query, results)
		}
	}
	if got := ask("sum by (address) (rlb_virtual_ip_held)"); !slices.Equal(got, []string{"1"}) {
		t.Errorf("holders: %v", got)
	}
	rules, err := os.ReadFile(examplesDir + "prometheus-rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`\brlb_[a-z_]+\b`).FindAllString(string(rules), -1) {
		// this metric exists only at times
		if name != "rlb_held_back_package_info" && len(ask(name)) == 0 {
			t.Errorf("the alerts speak of %s, which there is not", name)
		}
	}
}

// startPrometheus starts Prometheus on loopback, which scrapes these addresses, and returns a function to query it.
func startPrometheus(t *testing.T, program string, addresses []string) (ask func(query string) (values []string)) {
	t.Helper()
	dir, at := t.TempDir(), free(t)
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nscrape_configs:\n- job_name: rlb-agent\n  static_configs:\n  - targets: ['%s']\n", strings.Join(addresses, "', '"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(program, "--config.file="+config, "--storage.tsdb.path="+dir+"/data", "--web.listen-address="+at)
	cmd.Stderr = &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus:\n%s", log.String())
		}
	})
	return func(query string) (values []string) {
		t.Helper()
		response, err := http.Get("http://" + at + "/api/v1/query?query=" + url.QueryEscape(query))
		if err != nil {
			return nil // still starting
		}
		defer response.Body.Close()
		var answer struct {
			Error string
			Data  struct {
				Result []struct{ Value [2]any }
			}
		}
		body, err := io.ReadAll(response.Body)
		if response.StatusCode == http.StatusServiceUnavailable {
			return nil
		}
		if err == nil {
			err = json.Unmarshal(body, &answer)
		}
		if err != nil || answer.Error != "" {
			t.Errorf("%s: %v %s", query, err, answer.Error)
			return nil
		}
		for _, r := range answer.Data.Result {
			values = append(values, fmt.Sprint(r.Value[1]))
		}
		return values
	}
}
