ip netns add culvert-acme
ip -n culvert-acme link set lo up
ip netns exec culvert-acme sysctl -qw net/ipv4/conf/all/accept_local=1
ip netns exec culvert-acme sysctl -qw net/ipv4/conf/all/accept_redirects=0
ip netns exec culvert-acme sysctl -qw net/ipv4/conf/all/rp_filter=0
ip netns exec culvert-acme sysctl -qw net/ipv4/conf/all/send_redirects=0
ip netns exec culvert-acme sysctl -qw net/ipv4/conf/default/accept_redirects=0
ip netns exec culvert-acme sysctl -qw net/ipv4/conf/default/rp_filter=0
ip netns exec culvert-acme sysctl -qw net/ipv4/conf/default/send_redirects=0
ip netns exec culvert-acme sysctl -qw net/ipv4/fib_multipath_hash_policy=0
ip netns exec culvert-acme sysctl -qw net/ipv6/conf/default/accept_dad=0
ip netns exec culvert-acme sysctl -qw net/ipv6/conf/default/accept_ra=0
ip netns exec culvert-acme sysctl -qw net/ipv6/conf/default/addr_gen_mode=1
ip -n culvert-acme link add handover address 02:63:76:ff:ff:fb mtu 1500 type veth peer name delivery mtu 1500
ip -n culvert-acme link set handover up
ip -n culvert-acme link set delivery up
ip link add cv100 address 02:63:76:ff:ff:fc mtu 1500 type veth peer name uplink netns culvert-acme address 02:63:76:ff:ff:fd mtu 1500
ip link set cv100 up
ip -n culvert-acme link set uplink up
ip link add vx100 netns culvert-acme address 02:63:76:00:00:01 mtu 1500 type vxlan id 100 local 192.0.2.1 dstport 4789 nolearning
ip -n culvert-acme link set vx100 up
sysctl -qw net/ipv4/conf/cv100/rp_filter=1
ip -n culvert-acme address replace 100.64.0.1/32 dev vx100
ip -n culvert-acme address replace fd00:c0de::1/128 dev vx100 nodad
ip neigh replace 169.254.99.2 lladdr 02:63:76:ff:ff:fd dev cv100 nud permanent
ip neigh replace fe80::63:2 lladdr 02:63:76:ff:ff:fd dev cv100 nud permanent
ip -n culvert-acme neigh replace 100.64.0.2 lladdr 02:63:76:00:00:02 dev vx100 nud permanent
ip -n culvert-acme neigh replace 100.64.0.4 lladdr 02:63:76:00:00:04 dev vx100 nud permanent
ip -n culvert-acme neigh replace 100.64.0.7 lladdr 02:63:76:00:00:07 dev vx100 nud permanent
ip -n culvert-acme neigh replace 100.96.0.1 lladdr 06:63:76:00:00:01 dev handover nud permanent
ip -n culvert-acme neigh replace 100.96.0.2 lladdr 06:63:76:00:00:02 dev vx100 nud permanent
ip -n culvert-acme neigh replace 100.96.0.4 lladdr 06:63:76:00:00:04 dev vx100 nud permanent
ip -n culvert-acme neigh replace 169.254.99.1 lladdr 02:63:76:ff:ff:fc dev uplink nud permanent
ip -n culvert-acme neigh replace fd00:c0de::2 lladdr 02:63:76:00:00:02 dev vx100 nud permanent
ip -n culvert-acme neigh replace fd00:c0de::4 lladdr 02:63:76:00:00:04 dev vx100 nud permanent
ip -n culvert-acme neigh replace fd00:c0de::7 lladdr 02:63:76:00:00:07 dev vx100 nud permanent
ip -n culvert-acme neigh replace fd00:c0de::8000:0:0:5 lladdr 06:63:76:00:00:05 dev handover nud permanent
ip -n culvert-acme neigh replace fd00:c0de::8000:0:0:6 lladdr 06:63:76:00:00:06 dev vx100 nud permanent
ip -n culvert-acme neigh replace fe80::63:1 lladdr 02:63:76:ff:ff:fc dev uplink nud permanent
bridge -n culvert-acme fdb append 01:00:5e:00:00:51 dev vx100 dst 192.0.2.7 self permanent
bridge -n culvert-acme fdb replace 02:63:76:00:00:02 dev vx100 dst 192.0.2.2 self permanent
bridge -n culvert-acme fdb replace 02:63:76:00:00:04 dev vx100 dst 192.0.2.4 self permanent
bridge -n culvert-acme fdb replace 02:63:76:00:00:07 dev vx100 dst 192.0.2.7 self permanent
bridge -n culvert-acme fdb replace 06:63:76:00:00:02 dev vx100 dst 192.0.2.2 self permanent
bridge -n culvert-acme fdb replace 06:63:76:00:00:04 dev vx100 dst 192.0.2.2 self permanent
bridge -n culvert-acme fdb replace 06:63:76:00:00:06 dev vx100 dst 192.0.2.2 self permanent
ip -n culvert-acme route replace fd00:c0de::7/128 proto 146 dev vx100
ip -n culvert-acme route replace 0.0.0.0/0 proto 146 via 169.254.99.1 dev uplink onlink
ip -n culvert-acme route replace 10.0.0.47/32 proto 146 via 100.64.0.2 dev vx100 onlink
ip -n culvert-acme route replace 100.64.0.2/32 proto 146 dev vx100
ip -n culvert-acme route replace 100.64.0.4/32 proto 146 dev vx100
ip -n culvert-acme route replace 100.64.0.7/32 proto 146 dev vx100
ip -n culvert-acme route replace 100.96.0.0/11 proto 146 dev vx100
ip -n culvert-acme route replace 100.96.0.1/32 proto 146 dev handover
ip -n culvert-acme route replace ::/0 proto 146 via fe80::63:1 dev uplink onlink
ip -n culvert-acme route replace fd00::47/128 proto 146 via fd00:c0de::2 dev vx100 onlink
ip -n culvert-acme route replace fd00:c0de:0:0:8000::/65 proto 146 dev vx100
ip -n culvert-acme route replace fd00:c0de::8000:0:0:5/128 proto 146 dev handover
ip -n culvert-acme route replace unreachable 10.0.0.12/32 proto 146 metric 1073741824
ip -n culvert-acme route replace unreachable fd00::12/128 proto 146 metric 1073741824
ip -n culvert-acme -4 rule add priority 100 iif lo lookup local
ip -n culvert-acme -4 rule add priority 100 iif uplink lookup local
ip -n culvert-acme -4 rule add priority 100 iif vx100 lookup local
ip -n culvert-acme -4 rule add priority 101 to 100.64.0.1/32 lookup local
ip -n culvert-acme -4 rule del priority 0
ip -n culvert-acme -6 rule add priority 100 iif lo lookup local
ip -n culvert-acme -6 rule add priority 100 iif uplink lookup local
ip -n culvert-acme -6 rule add priority 100 iif vx100 lookup local
ip -n culvert-acme -6 rule add priority 101 to fd00:c0de::1/128 lookup local
ip -n culvert-acme -6 rule add priority 101 to fe80::/10 lookup local
ip -n culvert-acme -6 rule add priority 101 to ff00::/8 lookup local
ip -n culvert-acme -6 rule del priority 0
# the rules come here, before anything brings traffic
ip link set tap-a netns culvert-acme
ip -n culvert-acme link set tap-a address 02:63:76:ff:ff:fe up
ip netns exec culvert-acme sysctl -qw net/netfilter/nf_conntrack_icmp_timeout=60
ip netns exec culvert-acme sysctl -qw net/netfilter/nf_conntrack_tcp_timeout_close_wait=240
ip netns exec culvert-acme sysctl -qw net/netfilter/nf_conntrack_tcp_timeout_established=7440
ip netns exec culvert-acme sysctl -qw net/netfilter/nf_conntrack_tcp_timeout_fin_wait=240
ip netns exec culvert-acme sysctl -qw net/netfilter/nf_conntrack_tcp_timeout_last_ack=240
ip netns exec culvert-acme sysctl -qw net/netfilter/nf_conntrack_tcp_timeout_syn_recv=240
ip netns exec culvert-acme sysctl -qw net/netfilter/nf_conntrack_tcp_timeout_syn_sent=240
ip netns exec culvert-acme sysctl -qw net/netfilter/nf_conntrack_tcp_timeout_time_wait=240
ip netns exec culvert-acme sysctl -qw net/netfilter/nf_conntrack_udp_timeout=300
ip netns exec culvert-acme sysctl -qw net/netfilter/nf_conntrack_udp_timeout_stream=300
ip netns exec culvert-acme sysctl -qw net/ipv4/conf/tap-a/proxy_arp=1
ip netns exec culvert-acme sysctl -qw net/ipv4/neigh/tap-a/proxy_delay=0
ip -n culvert-acme address replace 2001:db8::50/128 dev lo nodad
ip -n culvert-acme address replace 45.86.152.23/32 dev lo
ip -n culvert-acme address replace 45.86.152.50/32 dev lo
ip -n culvert-acme address replace 45.86.152.51/32 dev lo
ip -n culvert-acme address replace fe80::1/64 dev tap-a nodad
ip -n culvert-acme neigh replace 10.0.0.12 lladdr 52:54:00:00:00:0a dev tap-a nud permanent
ip -n culvert-acme neigh replace fd00::12 lladdr 52:54:00:00:00:0a dev tap-a nud permanent
ip route replace 2001:db8::50/128 proto 146 via fe80::63:2 dev cv100 onlink
ip route replace 45.86.152.23/32 proto 146 via 169.254.99.2 dev cv100 onlink
ip route replace 45.86.152.50/32 proto 146 via 169.254.99.2 dev cv100 onlink
ip route replace 45.86.152.51/32 proto 146 via 169.254.99.2 dev cv100 onlink
ip -n culvert-acme route replace 10.0.0.12/32 proto 146 dev tap-a
ip -n culvert-acme route replace fd00::12/128 proto 146 dev tap-a
sysctl -qw net/ipv4/conf/cv100/forwarding=1
sysctl -qw net/ipv4/conf/out0/forwarding=1
sysctl -qw net/ipv6/conf/all/forwarding=1
ip netns exec culvert-acme sysctl -qw net/ipv4/ip_forward=1
ip netns exec culvert-acme sysctl -qw net/ipv6/conf/all/forwarding=1
