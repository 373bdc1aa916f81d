package e2e

import (
	"os"
	"os/exec"
	"path/filepath"

	"rlb.dev/rlb-agent/hack/lab"
)

// APIServerUnit runs the API server of a host that is a control plane.
const APIServerUnit = "kube-apiserver"

// apiServer is the text of this unit. The program has the real one's name, which the agent's messages contain.
const apiServer = `[Service]
EnvironmentFile=-/etc/kube-apiserver.env
ExecStart=/usr/local/bin/kube-apiserver $ARGS
Restart=on-failure
RestartSec=200ms
[Install]
WantedBy=multi-user.target
`

// ControlPlanes boots installed hosts that are load balancer and control plane in one, like kubeadm's stacked ones:
// each has an API server (hack/lab/apiserver) on port 6443 of every address. It is not started.
func (w *World) ControlPlanes(releases ...lab.Release) []*Host {
	w.Helper()
	file, err := lab.LocalFile(w.APIServer(), "/usr/local/bin/kube-apiserver", 0o755)
	if err != nil {
		w.Fatal(err)
	}
	unit := lab.File{Path: "/etc/systemd/system/" + APIServerUnit + ".service", Data: []byte(apiServer)}
	return w.hosts(lab.HostOptions{Installed: true, Files: []lab.File{file, unit}}, releases...)
}

// APIServer returns the path of the API server's program.
func (w *World) APIServer() string {
	w.Helper()
	program := os.Getenv("RLB_APISERVER")
	if program == "" {
		program = filepath.Join(w.TempDir(), "apiserver")
		build := exec.Command("go", "build", "-trimpath", "-o", program, "rlb.dev/rlb-agent/hack/lab/apiserver")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			w.Fatalf("cannot build the API server: %v\n%s", err, out)
		}
	}
	return program
}

// Machines returns the lab's hosts.
func Machines(hosts []*Host) (all []*lab.Host) {
	for _, h := range hosts {
		all = append(all, h.Host)
	}
	return all
}
