package config

import (
	"testing"
)

// TestBalancersProblems breaks load balancers in every way that is known.
func TestBalancersProblems(t *testing.T) {
	run(t, []problemTest{
		{
			name: "NAT address with balancers",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerHost: 1024}
    loadBalancers:
      - {name: web, address: 45.86.152.23, listeners: [{protocol: tcp, port: 443}, {protocol: udp, port: 443}]}
      - {name: dns, address: 45.86.152.23, listeners: [{protocol: udp, port: 53, backendPort: 5353}]}
`,
		},
		{
			name: "duplicate balancer",
			more: `    loadBalancers:
      - {name: web, address: 45.86.152.23, listeners: [{protocol: tcp, port: 443}]}
      - {name: web, address: 45.86.152.24, listeners: [{protocol: tcp, port: 443}]}
`,
			want: `12:16: "web": load balancer is already declared (line 11); give every load balancer of a tenant its own name`,
		},
		{
			name: "duplicate listener across balancers",
			more: `    loadBalancers:
      - {name: web, address: 45.86.152.23, listeners: [{protocol: tcp, port: 443}]}
      - {name: www, address: 45.86.152.23, listeners: [{protocol: tcp, port: 443}]}
`,
			want: `12:78: "443": tcp port of 45.86.152.23 already has a listener (line 11); use another port or another address`,
		},
		{
			name: "balancer of another tenant",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerHost: 1024}
` + other + `    loadBalancers: [{name: web, address: 45.86.152.23, listeners: [{protocol: tcp, port: 443}]}]
`,
			want: `15:42: "45.86.152.23": address of a load balancer belongs to tenant acme (line 10); give every tenant its own public addresses`,
		},
		{
			name: "listener ports",
			more: `    loadBalancers: [{name: web, address: 45.86.152.23, listeners: [{protocol: tcp, port: 0}, {protocol: tcp, port: 65536, backendPort: 0}]}]
`,
			want: `10:90: "0": is out of range; use a number in 1-65535
10:116: "65536": is out of range; use a number in 1-65535
10:136: "0": is out of range; use a number in 1-65535`,
		},
		{
			name: "listener protocol",
			more: `    loadBalancers: [{name: web, address: 45.86.152.23, listeners: [{protocol: icmp, port: 1}]}]
`,
			want: `10:79: "icmp": unknown value; use one of tcp, udp, sctp`,
		},
		{
			name: "no listeners",
			more: `    loadBalancers: [{name: web, address: 45.86.152.23, listeners: []}]
`,
			want: `10:67: "[]}]": listeners has no entries; add at least one`,
		},
		{
			name: "backend unknown",
			more: `    loadBalancers: [{name: web, address: 45.86.152.23, listeners: [{protocol: tcp, port: 1}], backends: [{interface: vm-z}]}]
`,
			want: `10:118: "vm-z": tenant acme has no interface of this name; declare the interface or name one that is`,
		},
		{
			name: "backend twice",
			more: `    loadBalancers: [{name: web, address: 45.86.152.23, listeners: [{protocol: tcp, port: 1}], backends: [{interface: vm-a}, {interface: vm-a}]}]
`,
			want: `10:137: "vm-a": interface is already a backend of web (line 10); remove one of the two; weight gives a backend a larger share`,
		},
		{
			name: "backend without address of the family",
			more: `    loadBalancers: [{name: web, address: "2001:db8::23", listeners: [{protocol: tcp, port: 1}], backends: [{interface: vm-a}, {interface: vm-b}]}]
`,
			want: `10:139: "vm-b": interface has no private IPv6 address; give the interface one`,
		},
		{
			name: "backend weight",
			more: `    loadBalancers: [{name: web, address: 45.86.152.23, listeners: [{protocol: tcp, port: 1}], backends: [{interface: vm-a, weight: 0}, {interface: vm-b, weight: 65536}]}]
`,
			want: `10:132: "0": is out of range; use a number in 1-65535
10:162: "65536": is out of range; use a number in 1-65535`,
		},
	})
}
