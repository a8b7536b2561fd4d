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
ip link add vx100 netns culvert-acme address 02:63:76:00:00:01 mtu 1500 type vxlan id 100 local 192.0.2.1 dstport 4789 nolearning
ip -n culvert-acme link set vx100 up
ip -n culvert-acme address replace 100.64.0.1/32 dev vx100
ip -n culvert-acme address replace fd00:c0de::1/128 dev vx100 nodad
ip -n culvert-acme neigh replace 100.64.0.2 lladdr 02:63:76:00:00:02 dev vx100 nud permanent
ip -n culvert-acme neigh replace 100.64.0.3 lladdr 02:63:76:00:00:03 dev vx100 nud permanent
ip -n culvert-acme neigh replace 100.64.0.4 lladdr 02:63:76:00:00:04 dev vx100 nud permanent
ip -n culvert-acme neigh replace 100.64.0.7 lladdr 02:63:76:00:00:07 dev vx100 nud permanent
ip -n culvert-acme neigh replace 100.96.0.1 lladdr 06:63:76:00:00:01 dev vx100 nud permanent
ip -n culvert-acme neigh replace 100.96.0.2 lladdr 06:63:76:00:00:02 dev vx100 nud permanent
ip -n culvert-acme neigh replace 100.96.0.4 lladdr 06:63:76:00:00:04 dev vx100 nud permanent
ip -n culvert-acme neigh replace fd00:c0de::2 lladdr 02:63:76:00:00:02 dev vx100 nud permanent
ip -n culvert-acme neigh replace fd00:c0de::3 lladdr 02:63:76:00:00:03 dev vx100 nud permanent
ip -n culvert-acme neigh replace fd00:c0de::4 lladdr 02:63:76:00:00:04 dev vx100 nud permanent
ip -n culvert-acme neigh replace fd00:c0de::7 lladdr 02:63:76:00:00:07 dev vx100 nud permanent
ip -n culvert-acme neigh replace fd00:c0de::8000:0:0:5 lladdr 06:63:76:00:00:05 dev vx100 nud permanent
ip -n culvert-acme neigh replace fd00:c0de::8000:0:0:6 lladdr 06:63:76:00:00:06 dev vx100 nud permanent
bridge -n culvert-acme fdb append 01:00:5e:00:00:51 dev vx100 dst 192.0.2.7 self permanent
bridge -n culvert-acme fdb replace 02:63:76:00:00:02 dev vx100 dst 192.0.2.2 self permanent
bridge -n culvert-acme fdb replace 02:63:76:00:00:03 dev vx100 dst 192.0.2.3 self permanent
bridge -n culvert-acme fdb replace 02:63:76:00:00:04 dev vx100 dst 192.0.2.4 self permanent
bridge -n culvert-acme fdb replace 02:63:76:00:00:07 dev vx100 dst 192.0.2.7 self permanent
bridge -n culvert-acme fdb replace 06:63:76:00:00:01 dev vx100 dst 192.0.2.3 self permanent
bridge -n culvert-acme fdb replace 06:63:76:00:00:02 dev vx100 dst 192.0.2.2 self permanent
bridge -n culvert-acme fdb replace 06:63:76:00:00:04 dev vx100 dst 192.0.2.2 self permanent
bridge -n culvert-acme fdb replace 06:63:76:00:00:05 dev vx100 dst 192.0.2.3 self permanent
bridge -n culvert-acme fdb replace 06:63:76:00:00:06 dev vx100 dst 192.0.2.2 self permanent
ip -n culvert-acme route replace fd00:c0de::7/128 proto 146 dev vx100
ip -n culvert-acme route replace 0.0.0.0/0 proto 146 via 100.64.0.4 dev vx100 onlink
ip -n culvert-acme route replace 100.64.0.2/32 proto 146 dev vx100
ip -n culvert-acme route replace 100.64.0.3/32 proto 146 dev vx100
ip -n culvert-acme route replace 100.64.0.4/32 proto 146 dev vx100
ip -n culvert-acme route replace 100.64.0.7/32 proto 146 dev vx100
ip -n culvert-acme route replace 100.96.0.0/11 proto 146 dev vx100
ip -n culvert-acme route replace ::/0 proto 146 via fd00:c0de::4 dev vx100 onlink
ip -n culvert-acme route replace fd00:c0de:0:0:8000::/65 proto 146 dev vx100
# the rules come here, before anything brings traffic
ip -n culvert-acme address replace 2001:db8::50/128 dev lo nodad
ip -n culvert-acme address replace 45.86.152.23/32 dev lo
ip -n culvert-acme address replace 45.86.152.50/32 dev lo
ip -n culvert-acme address replace 45.86.152.51/32 dev lo
ip netns exec culvert-acme sysctl -qw net/ipv4/ip_forward=1
ip netns exec culvert-acme sysctl -qw net/ipv6/conf/all/forwarding=1
