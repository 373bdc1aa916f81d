// Package kubevip runs the real kube-vip on hosts of the lab, in ARP mode. A small server provides its lease in place
// of a whole API server.
package kubevip

import (
	"strings"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// Leases is a Perl program that serves one lease on port 8001 of the address in its argument.
const Leases = `use IO::Socket::INET;
my $l = IO::Socket::INET->new(Listen => 9, LocalAddr => $ARGV[0], LocalPort => 8001, ReuseAddr => 1) or die $!;
my ($lease, $kind);
while (my $c = $l->accept) {
	my $request = <$c> // next; my ($length, $type) = 0;
	while (<$c>) { last if /^\r?$/; $length = $1 if /^content-length: *(\d+)/i; $type = $1 if /^content-type: *(\S+)/i }
	read $c, my $body, $length if $length;
	my ($status, $answer) = ("200 OK", $lease); # in the form in which it came
	if ($request =~ /^(POST|PUT) /) { $status = "201 Created" if $1 eq "POST"; $answer = $lease = $body; $kind = $type }
	elsif (!defined $lease) { $kind = "application/json"; ($status, $answer) = ("404 Not Found", '{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}') }
	print $c "HTTP/1.1 $status\r\nContent-Type: $kind\r\nContent-Length: ", length $answer, "\r\nConnection: close\r\n\r\n", $answer;
	close $c;
}
`

const unit = `[Service]
Environment=vip_arp=true cp_enable=true address=` + pair.VIP + ` vip_interface=eth0 port=6443 vip_nodename=%H cp_namespace=kube-system
Environment=vip_leaderelection=true vip_leasename=plndr-cp-lock vip_leaseduration=5 vip_renewdeadline=3 vip_retryperiod=1
Environment=kubernetes_addr=http://LEASES:8001
ExecStart=/usr/local/bin/kube-vip manager
`

const kubeconfig = `apiVersion: v1
kind: Config
clusters: [{name: lab, cluster: {server: "http://LEASES:8001"}}]
contexts: [{name: lab, context: {cluster: lab}}]
current-context: lab
`

// Files returns the files of a host with kube-vip as kube-vip.service. leases is the address of the lease server.
func Files(program []byte, leases string) []lab.File {
	at := func(text string) []byte { return []byte(strings.ReplaceAll(text, "LEASES", leases)) }
	return []lab.File{
		{Path: "/usr/local/bin/kube-vip", Data: program, Mode: 0o755},
		{Path: "/etc/systemd/system/kube-vip.service", Data: at(unit)},
		{Path: "/etc/kubernetes/admin.conf", Data: at(kubeconfig)},
	}
}
