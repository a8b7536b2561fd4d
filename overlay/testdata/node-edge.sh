ip netns add culvert-acme
ip -n culvert-acme link set lo up
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
ip -n culvert-acme neigh replace 100.64.0.3 lladdr 02:63:76:00:00:03 dev vx100 nud permanent
ip -n culvert-acme neigh replace 100.64.0.7 lladdr 02:63:76:00:00:07 dev vx100 nud permanent
ip -n culvert-acme neigh replace 169.254.99.1 lladdr 02:63:76:ff:ff:fc dev uplink nud permanent
ip -n culvert-acme neigh replace fd00:c0de::2 lladdr 02:63:76:00:00:02 dev vx100 nud permanent
ip -n culvert-acme neigh replace fd00:c0de::3 lladdr 02:63:76:00:00:03 dev vx100 nud permanent
ip -n culvert-acme neigh replace fd00:c0de::7 lladdr 02:63:76:00:00:07 dev vx100 nud permanent
ip -n culvert-acme neigh replace fe80::63:1 lladdr 02:63:76:ff:ff:fc dev uplink nud permanent
bridge -n culvert-acme fdb replace 02:63:76:00:00:02 dev vx100 dst 192.0.2.2 self permanent
bridge -n culvert-acme fdb replace 02:63:76:00:00:03 dev vx100 dst 192.0.2.3 self permanent
bridge -n culvert-acme fdb replace 02:63:76:00:00:07 dev vx100 dst 192.0.2.7 self permanent
ip -n culvert-acme route replace 0.0.0.0/0 proto 146 via 169.254.99.1 dev uplink onlink
ip -n culvert-acme route replace 100.64.0.2/32 proto 146 dev vx100
ip -n culvert-acme route replace 100.64.0.3/32 proto 146 dev vx100
ip -n culvert-acme route replace 100.64.0.7/32 proto 146 dev vx100
ip -n culvert-acme route replace 2001:db8::50/128 proto 146 via fd00:c0de::7 dev vx100 onlink
ip -n culvert-acme route replace 45.86.152.23/32 proto 146 nexthop via 100.64.0.2 dev vx100 onlink nexthop via 100.64.0.3 dev vx100 onlink nexthop via 100.64.0.7 dev vx100 onlink
ip -n culvert-acme route replace 45.86.152.50/32 proto 146 via 100.64.0.7 dev vx100 onlink
ip -n culvert-acme route replace ::/0 proto 146 via fe80::63:1 dev uplink onlink
# the rules come here, before anything brings traffic
ip route replace 2001:db8::50/128 proto 146 via fe80::63:2 dev cv100 onlink
ip route replace 45.86.152.23/32 proto 146 via 169.254.99.2 dev cv100 onlink
ip route replace 45.86.152.50/32 proto 146 via 169.254.99.2 dev cv100 onlink
ip route replace 45.86.152.51/32 proto 146 via 169.254.99.2 dev cv100 onlink
sysctl -qw net/ipv4/conf/cv100/forwarding=1
sysctl -qw net/ipv4/conf/out0/forwarding=1
sysctl -qw net/ipv6/conf/all/forwarding=1
ip netns exec culvert-acme sysctl -qw net/ipv4/ip_forward=1
ip netns exec culvert-acme sysctl -qw net/ipv6/conf/all/forwarding=1
