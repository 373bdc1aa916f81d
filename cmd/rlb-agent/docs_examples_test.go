package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"rlb.dev/rlb-agent/api"
)

// commandKeys are the keys of commands in files of Ansible, cloud-init and GitHub's workflows.
var commandKeys = []string{"run", "cmd", "validate", "runcmd"}

// agentCall matches a call of rlb-agent in a shell script.
var agentCall = regexp.MustCompile(`\brlb-agent( [^|;&<>"\n]*)`)

// TestExamplesForOtherTools: the examples for other tools call existing commands, and their specs are valid.
func TestExamplesForOtherTools(t *testing.T) {
	specs, calls := 0, 0
	for _, dir := range []string{"ansible", "cloud-init", "gitops"} {
		err := filepath.WalkDir(top+"/examples/"+dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			var root yaml.Node
			if err := yaml.Unmarshal(data, &root); err != nil {
				t.Errorf("%s: %v", path, err)
				return nil
			}
			found, err := checkExample(&root, false, "")
			if err != nil {
				t.Errorf("%s: %v", path, err)
			}
			if strings.Contains(string(data), "kind: LoadBalancerSpec") {
				specs++
			}
			calls += found
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if specs < 2 || calls < 7 {
		t.Errorf("%d specs and %d calls of the agent are found: fewer than there are", specs, calls)
	}
}

// checkExample checks the commands and specs below a node, and counts the commands. command: the node is a
// command.
func checkExample(n *yaml.Node, command bool, key string) (calls int, err error) {
	for i, child := range n.Content {
		name, inside := key, command
		if n.Kind == yaml.MappingNode {
			if i%2 == 0 {
				continue
			}
			name = n.Content[i-1].Value
			inside = slices.Contains(commandKeys, name)
		}
		found, err := checkExample(child, inside, name)
		if err != nil {
			return calls, err
		}
		calls += found
	}
	switch {
	case n.Kind == yaml.MappingNode && isSpec(n):
		data, err := yaml.Marshal(n)
		if err == nil {
			_, err = api.Parse("spec", data)
		}
		return calls, err
	case n.Kind != yaml.ScalarNode:
		return calls, nil
	case strings.HasPrefix(n.Value, "apiVersion: "+api.APIVersion):
		_, err := api.Parse(key, []byte(n.Value))
		return calls, err
	case command:
		for _, m := range agentCall.FindAllStringSubmatch(n.Value, -1) {
			calls++
			if err := checkAgent(shellWords(m[1])); err != nil {
				return calls, fmt.Errorf("line %d: rlb-agent%s: %w", n.Line, m[1], err)
			}
		}
	}
	return calls, nil
}

func isSpec(n *yaml.Node) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "kind" && n.Content[i+1].Value == "LoadBalancerSpec" {
			return true
		}
	}
	return false
}

func TestWrongExamplesAreFound(t *testing.T) {
	for _, text := range []string{
		"run: rlb-agent push --yess spec.yaml", "runcmd: [[sh, -c, 'true; rlb-agent nonsense']]", "steps: [{run: 'rlb-agent validate a b'}]",
		"content: |\n  apiVersion: rlb.dev/v1\n  kind: LoadBalancerSpec\n", "kind: LoadBalancerSpec",
	} {
		var root yaml.Node
		if err := yaml.Unmarshal([]byte(text), &root); err != nil {
			t.Fatal(err)
		}
		if _, err := checkExample(&root, false, ""); err == nil {
			t.Errorf("nothing is found wrong in %q", text)
		}
	}
}

// TestOtherToolsTakeTheExamples: the tools accept the examples, if they are installed.
func TestOtherToolsTakeTheExamples(t *testing.T) {
	for _, args := range [][]string{
		{"ansible-playbook", "--syntax-check", "-i", "inventory.yaml", "playbook.yaml"},
		{"cloud-init", "schema", "--config-file", "../cloud-init/user-data.yaml"},
	} {
		t.Run(args[0], func(t *testing.T) {
			if _, err := exec.LookPath(args[0]); err != nil {
				t.Skip(args[0] + " is not installed")
			}
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Dir, cmd.Env = top+"/examples/ansible", append(os.Environ(), "LC_ALL=C.UTF-8", "HOME="+t.TempDir())
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
