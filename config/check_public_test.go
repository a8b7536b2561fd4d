package config

import (
	"testing"
)

// TestPublicProblems breaks NAT gateways and virtual IPs in every way that is known.
func TestPublicProblems(t *testing.T) {
	run(t, []problemTest{
		{
			name: "NAT address is IPv6",
			more: `    natGateway: {addresses: ["2001:db8::1"], portsPerHost: 1024}
`,
			want: `10:30: "2001:db8::1": NAT address is an IPv6 address; use an IPv4 address; IPv6 needs no NAT gateway`,
		},
		{
			name: "NAT address twice",
			more: `    natGateway: {addresses: [45.86.152.23, 45.86.152.23], portsPerHost: 1024}
`,
			want: `10:44: "45.86.152.23": NAT address is already a NAT address (line 10); use another address for one of the two`,
		},
		{
			name: "NAT address of another tenant",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerHost: 1024}
` + other + `    natGateway: {addresses: [45.86.152.23], portsPerHost: 1024}
`,
			want: `15:30: "45.86.152.23": NAT address belongs to tenant acme (line 10); give every tenant its own public addresses`,
		},
		{
			name: "NAT address is an underlay address",
			more: `    natGateway: {addresses: [192.0.2.9], portsPerHost: 1024}
`,
			want: `10:30: "192.0.2.9": NAT address is the underlay address of host lb1 (line 3); use another public address`,
		},
		{
			name: "NAT address inside the overlay",
			more: `    natGateway: {addresses: [100.127.255.255], portsPerHost: 1024}
`,
			want: `10:30: "100.127.255.255": NAT address is inside the overlay prefix 100.64.0.0/10; use another address, or set overlay to a prefix that is not public`,
		},
		{
			name: "NAT address is a private address",
			more: `    natGateway: {addresses: [10.0.0.47], portsPerHost: 1024}
`,
			want: `10:30: "10.0.0.47": NAT address is a private address of interface vm-b (line 9); use another public address`,
		},
		{
			name:  "private address of another tenant may be public",
			edits: []string{"10.0.0.47", "10.0.0.48"},
			more: other + `    natGateway: {addresses: [10.0.0.47], portsPerHost: 1024}
`,
		},
		{
			name: "no ports",
			more: `    natGateway:
      addresses: [45.86.152.23]
`,
			want: `11:7: "addresses: [45.86.152.23]": neither portsPerHost nor portsPerInterface is set; add one of them, for example portsPerHost: 1024`,
		},
		{
			name: "both ports",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerHost: 1024, portsPerInterface: 1024}
`,
			want: `10:84: "1024": portsPerHost is set, too (line 10); remove one of the two`,
		},
		{
			name: "ports no multiple",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerHost: 1000}
`,
			want: `10:59: "1000": is not a multiple of 64 in 64-64512; use 960 or 1024`,
		},
		{
			name: "ports too few",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerInterface: 0}
`,
			want: `10:64: "0": is not a multiple of 64 in 64-64512; use 64`,
		},
		{
			name: "ports too many",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerInterface: 64576}
`,
			want: `10:64: "64576": is not a multiple of 64 in 64-64512; use 64512`,
		},
		{
			name: "ports enormous",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerInterface: 99999999999999999999}
`,
			want: `10:64: "99999999999999999999": is not a multiple of 64 in 64-64512; use 64512`,
		},
		{
			name: "ports negative",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerInterface: -99999999999999999999}
`,
			want: `10:64: "-99999999999999999999": is not a multiple of 64 in 64-64512; use 64`,
		},
		{
			name: "ports at the limits",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerHost: 64512}
`,
		},
		{
			name: "exempt with host bits",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerHost: 64, exempt: [10.1.2.3/8]}
`,
			want: `10:72: "10.1.2.3/8": has bits set behind its length; write 10.0.0.0/8`,
		},
		{
			name: "exempt IPv6",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerHost: 64, exempt: ["2001:db8::/32"]}
`,
			want: `10:72: "2001:db8::/32": exempt prefix is an IPv6 prefix; remove it; the NAT gateway translates IPv4 only`,
		},
		{
			name: "exempt has private addresses of the tenant in it",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerHost: 64, exempt: [10.0.0.0/8, 172.16.0.0/12]}
`,
		},
		{
			name: "exempt is link-local",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerHost: 64, exempt: [169.254.99.0/24]}
`,
			want: `10:72: "169.254.99.0/24": exempt prefix overlaps link-local addresses 169.254.0.0/16; name smaller prefixes`,
		},
		{
			name: "exempt is multicast",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerHost: 64, exempt: [224.0.0.0/3]}
`,
			want: `10:72: "224.0.0.0/3": exempt prefix overlaps multicast addresses 224.0.0.0/4; name smaller prefixes
10:72: "224.0.0.0/3": exempt prefix overlaps reserved addresses 240.0.0.0/4; name smaller prefixes`,
		},
		{
			name: "exempt twice, and one inside another",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerHost: 64, exempt: [10.0.0.0/8, 10.0.0.0/8, 10.1.0.0/16, 11.0.0.0/8]}
`,
			want: `10:84: "10.0.0.0/8": exempt prefix overlaps 10.0.0.0/8 (line 10); remove the one that is inside the other
10:96: "10.1.0.0/16": exempt prefix overlaps 10.0.0.0/8 (line 10); remove the one that is inside the other`,
		},
		{
			name: "exempt overlaps the overlay",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerHost: 64, exempt: [100.0.0.0/8]}
`,
			want: `10:72: "100.0.0.0/8": exempt prefix overlaps the overlay prefix 100.64.0.0/10; name smaller prefixes, or set overlay to a prefix that nobody uses`,
		},
		{
			name: "exempt contains a public address of the tenant",
			more: `    natGateway: {addresses: [45.86.152.23, 45.86.152.21], portsPerHost: 64, exempt: [45.0.0.0/8]}
`,
			want: `10:86: "45.0.0.0/8": exempt prefix contains the NAT address 45.86.152.21 of the tenant (line 10); name smaller prefixes; VMs reach public addresses of the fleet by translation alone`,
		},
		{
			name: "exempt contains a public address of another tenant",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerHost: 64, exempt: [45.86.152.24/29, 45.86.152.32/29, 45.86.152.40/29]}
` + other + `    natGateway: {addresses: [45.86.152.26], portsPerHost: 64}
    virtualIPs: [{addresses: [45.86.152.33], interface: vm-a}]
    loadBalancers: [{name: lb, address: 45.86.152.47, listeners: [{protocol: tcp, port: 80}]}]
`,
			want: `10:72: "45.86.152.24/29": exempt prefix contains the NAT address 45.86.152.26 of tenant zeta (line 15); name smaller prefixes; VMs reach public addresses of the fleet by translation alone
10:89: "45.86.152.32/29": exempt prefix contains the virtual IP address 45.86.152.33 of tenant zeta (line 16); name smaller prefixes; VMs reach public addresses of the fleet by translation alone
10:106: "45.86.152.40/29": exempt prefix contains the address of a load balancer 45.86.152.47 of tenant zeta (line 17); name smaller prefixes; VMs reach public addresses of the fleet by translation alone`,
		},
		{
			name: "exempt lies beside public addresses of another tenant",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerHost: 64, exempt: [45.86.152.24/29]}
` + other + `    natGateway: {addresses: [45.86.152.32], portsPerHost: 64}
`,
		},
		{
			name: "two tenants with exempt and the same private address",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerHost: 64, exempt: [172.16.0.0/12]}
` + other + `    natGateway: {addresses: [45.86.152.24], portsPerHost: 64, exempt: [172.17.0.0/16]}
`,
			want: `14:86: "10.0.0.12": private address is also one of tenant acme (line 8), and both have natGateway.exempt; use another address, or remove natGateway.exempt of one of the two tenants: edges could not tell whose answers are whose`,
		},
		{
			name:  "private address of a tenant with exempt is an underlay address",
			edits: []string{"addresses: [10.0.0.47]", "addresses: [192.0.2.9]"},
			more: `    natGateway: {addresses: [45.86.152.23], portsPerHost: 64, exempt: [172.16.0.0/12]}
`,
			want: `9:86: "192.0.2.9": private address is the underlay address of host lb1 (line 3); use another address, or remove natGateway.exempt of the tenant: edges route the private addresses of tenants that have it`,
		},
		{
			name:  "private address of a tenant with exempt is another's public one",
			edits: []string{"addresses: [10.0.0.47]", "addresses: [45.86.152.24]"},
			more: `    natGateway: {addresses: [45.86.152.23], portsPerHost: 64, exempt: [172.16.0.0/12]}
` + other + `    natGateway: {addresses: [45.86.152.24], portsPerHost: 64}
`,
			want: `9:86: "45.86.152.24": private address is a public one of tenant zeta (line 15); use another address, or remove natGateway.exempt of the tenant: edges route the private addresses of tenants that have it`,
		},
		{
			name: "one of them with exempt",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerHost: 64, exempt: [172.16.0.0/12]}
` + other + `    natGateway: {addresses: [45.86.152.24], portsPerHost: 64}
`,
		},
		{
			name: "exempt is no prefix",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerHost: 64, exempt: [everything]}
`,
			want: `10:72: "everything": is not a prefix; write an address and a length, like 192.0.2.0/24 or 2001:db8::/32`,
		},
		{
			name: "several entries for an interface",
			more: `    virtualIPs:
      - {addresses: [45.86.152.30], interface: vm-a}
      - {addresses: [45.86.152.31, "2001:db8::31"], interface: vm-a}
`,
		},
		{
			name: "two addresses of a family",
			more: `    virtualIPs: [{addresses: [45.86.152.30, 45.86.152.31], interface: vm-a}]
`,
			want: `10:45: "45.86.152.31": entry has another IPv4 address (line 10); write one entry for each address`,
		},
		{
			name: "virtual IP of an unknown interface",
			more: `    virtualIPs: [{addresses: [45.86.152.30], interface: vm-z}]
`,
			want: `10:57: "vm-z": tenant acme has no interface of this name; declare the interface or name one that is`,
		},
		{
			name: "virtual IP without private address",
			more: `    virtualIPs: [{addresses: ["2001:db8::30"], interface: vm-b}]
`,
			want: `10:31: "2001:db8::30": interface vm-b has no private IPv6 address; give the interface one`,
		},
		{
			name: "virtual IP twice",
			more: `    virtualIPs: [{addresses: [45.86.152.30], interface: vm-a}, {addresses: [45.86.152.30], interface: vm-b}]
`,
			want: `10:77: "45.86.152.30": virtual IP address is already a virtual IP address (line 10); use another address for one of the two`,
		},
		{
			name: "virtual IP is a NAT address",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerHost: 1024}
    virtualIPs: [{addresses: [45.86.152.23], interface: vm-a}]
`,
			want: `11:31: "45.86.152.23": virtual IP address is already a NAT address (line 10); use another address for one of the two`,
		},
		{
			name: "virtual IP of another tenant",
			more: `    natGateway: {addresses: [45.86.152.23], portsPerHost: 1024}
` + other + `    virtualIPs: [{addresses: [45.86.152.23], interface: vm-a}]
`,
			want: `15:31: "45.86.152.23": virtual IP address belongs to tenant acme (line 10); give every tenant its own public addresses`,
		},
		{
			name: "virtual IP is a balancer's address",
			more: `    loadBalancers: [{name: web, address: 45.86.152.30, listeners: [{protocol: tcp, port: 443}]}]
    virtualIPs: [{addresses: [45.86.152.30], interface: vm-a}]
`,
			want: `10:42: "45.86.152.30": address of a load balancer is already a virtual IP address (line 11); use another address for one of the two`,
		},
	})
}
