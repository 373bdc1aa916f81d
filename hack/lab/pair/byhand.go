package pair

// ByHand is a script for a host with the agent's files. It replaces keepalived.conf by one that a good administrator
// would write by hand, and removes the agent's drop-ins: VRRP 3, ten advertisements a second, the shortest skew, no
// preemption, and a tracked file that HAProxy's unit writes before HAProxy stops and after it has ended. haproxy.cfg
// stays.
const ByHand = `
rm -rf /etc/systemd/system/keepalived.service.d /etc/systemd/system/haproxy.service.d
mkdir /etc/systemd/system/haproxy.service.d
cat > /etc/systemd/system/haproxy.service.d/keepalived.conf <<'END'
[Service]
ExecStartPost=/bin/sh -c 'echo 0 > /run/haproxy.fault'
ExecStop=/bin/sh -c 'echo 1 > /run/haproxy.fault'
ExecStopPost=/bin/sh -c 'echo 1 > /run/haproxy.fault'
END
cat > /etc/keepalived/keepalived.conf <<'END'
global_defs {
    router_id lb
    vrrp_skip_check_adv_addr
    vrrp_garp_master_refresh 60
}
track_file haproxy {
    file "/run/haproxy.fault"
    weight 0
    init_file 0
}
vrrp_instance VI_1 {
    state BACKUP
    nopreempt
    interface eth0
    virtual_router_id 100
    version 3
    advert_int 0.1
    priority 254
    virtual_ipaddress {
        ` + VIP + `/24 dev eth0
    }
    track_file {
        haproxy
    }
}
END
systemctl daemon-reload
systemctl restart haproxy
systemctl restart keepalived
`
