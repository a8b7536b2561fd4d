package config

import (
	"strings"
	"testing"
)

// TestTenantsProblems breaks tenants, their interfaces and limits in every way that is known.
func TestTenantsProblems(t *testing.T) {
	run(t, []problemTest{
		{
			name:  "tenant name too long",
			edits: []string{"acme", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
			want:  `5:11: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": name has 41 characters; use at most 40`,
		},
		{
			name:  "tenant name of 40 characters",
			edits: []string{"acme", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
		},
		{
			name:  "tenant name invalid",
			edits: []string{"acme", "ac_me"},
			want:  `5:11: "ac_me": is not a valid name; use lower-case letters, digits and inner hyphens`,
		},
		{
			name: "duplicate tenant",
			more: strings.Replace(other, "zeta", "acme", 1),
			want: `10:11: "acme": tenant is already declared (line 5); give every tenant its own name`,
		},
		{
			name: "duplicate VNI",
			more: strings.Replace(other, "200", "100", 1),
			want: `11:10: "100": VNI is already that of tenant acme (line 6); give every tenant its own VNI`,
		},
		{
			name:  "VNI zero",
			edits: []string{"vni: 100", "vni: 0"},
			want:  `6:10: "0": is out of range; use a number in 1-16777215`,
		},
		{
			name:  "VNI too large",
			edits: []string{"vni: 100", "vni: 16777216"},
			want:  `6:10: "16777216": is out of range; use a number in 1-16777215`,
		},
		{
			name:  "VNI largest",
			edits: []string{"vni: 100", "vni: 16777215"},
		},
		{
			name: "tenants may share private addresses and MACs",
			more: other,
		},
		{
			name:  "duplicate interface",
			edits: []string{"name: vm-b", "name: vm-a"},
			want:  `9:16: "vm-a": interface is already declared (line 8); give every interface of a tenant its own name`,
		},
		{
			name:  "interface name invalid",
			edits: []string{"name: vm-b", "name: vm.b"},
			want:  `9:16: "vm.b": is not a valid name; use lower-case letters, digits and inner hyphens`,
		},
		{
			name:  "host unknown",
			edits: []string{"host: hv1, device: tap-b", "host: hv9, device: tap-b"},
			want:  `9:28: "hv9": no host has this name; declare the host or name one that is`,
		},
		{
			name:  "host is no hypervisor",
			edits: []string{"host: hv1, device: tap-b", "host: lb1, device: tap-b"},
			want:  `9:28: "lb1": host is not a hypervisor (line 3); move the interface or give the host the role hypervisor`,
		},
		{
			name:  "device twice on a host",
			edits: []string{"tap-b", "tap-a"},
			want:  `9:41: "tap-a": device of host hv1 is already in use (line 8); give every interface of a host its own device`,
		},
		{
			name: "device twice across tenants",
			more: strings.Replace(other, "tap-z", "tap-a", 1),
			want: `13:41: "tap-a": device of host hv1 is already in use (line 8); give every interface of a host its own device`,
		},
		{
			name:  "device too long",
			edits: []string{"tap-b", "tap-0123456789abc"},
			want:  `9:41: "tap-0123456789abc": device name has 17 bytes; use 1-15 bytes without spaces, slashes and colons`,
		},
		{
			name:  "device with space",
			edits: []string{"tap-b", `"tap b"`},
			want:  `9:41: "tap b": is not a valid device name; use 1-15 bytes without spaces, slashes and colons`,
		},
		{
			name:  "device with colon",
			edits: []string{"tap-b", `"tap:b"`},
			want:  `9:41: "tap:b": is not a valid device name; use 1-15 bytes without spaces, slashes and colons`,
		},
		{
			name:  "device dot dot",
			edits: []string{"tap-b", `".."`},
			want:  `9:41: "..": is not a valid device name; use 1-15 bytes without spaces, slashes and colons`,
		},
		{
			name:  "MAC zero",
			edits: []string{"52:54:00:00:00:0b", "00:00:00:00:00:00"},
			want:  `9:53: "00:00:00:00:00:00": is the zero MAC address; give every interface of a tenant its own unicast MAC address`,
		},
		{
			name:  "MAC multicast",
			edits: []string{"52:54:00:00:00:0b", "01:00:5e:00:00:0b"},
			want:  `9:53: "01:00:5e:00:00:0b": is a multicast MAC address; give every interface of a tenant its own unicast MAC address`,
		},
		{
			name:  "MAC reserved for hosts",
			edits: []string{"52:54:00:00:00:0b", "02:63:76:00:00:0b"},
			want:  `9:53: "02:63:76:00:00:0b": MAC addresses 02:63:76:* and 06:63:76:* are reserved for the overlay; use another first three bytes`,
		},
		{
			name:  "MAC reserved for backends",
			edits: []string{"52:54:00:00:00:0b", "06:63:76:00:00:0b"},
			want:  `9:53: "06:63:76:00:00:0b": MAC addresses 02:63:76:* and 06:63:76:* are reserved for the overlay; use another first three bytes`,
		},
		{
			name:  "MAC twice in a tenant",
			edits: []string{"52:54:00:00:00:0b", "52:54:00:00:00:0A"},
			want:  `9:53: "52:54:00:00:00:0A": MAC address is already that of interface vm-a (line 8); give every interface of a tenant its own unicast MAC address`,
		},
		{
			name:  "MAC too short",
			edits: []string{"52:54:00:00:00:0b", "52:54:00:00:0b"},
			want:  `9:53: "52:54:00:00:0b": is not a MAC address; write six bytes in hexadecimal, like "52:54:00:00:00:0a"`,
		},
		{
			name:  "MAC not hexadecimal",
			edits: []string{"52:54:00:00:00:0b", "52:54:00:00:00:xx"},
			want:  `9:53: "52:54:00:00:00:xx": is not a MAC address; write six bytes in hexadecimal, like "52:54:00:00:00:0a"`,
		},
		{
			name:  "MAC with dots",
			edits: []string{"52:54:00:00:00:0b", "52.54.00.00.00.0b"},
			want:  `9:53: "52.54.00.00.00.0b": is not a MAC address; write six bytes in hexadecimal, like "52:54:00:00:00:0a"`,
		},
		{
			name:  "address twice in a tenant",
			edits: []string{"10.0.0.47", "10.0.0.12"},
			want:  `9:86: "10.0.0.12": address of interface vm-b is already used by interface vm-a of tenant acme (line 8); give every interface of a tenant its own address`,
		},
		{
			name:  "address twice on an interface",
			edits: []string{"10.0.0.47", "10.0.0.47, 10.0.0.47"},
			want:  `9:97: "10.0.0.47": address of interface vm-b is already used by interface vm-b of tenant acme (line 9); give every interface of a tenant its own address`,
		},
		{
			name:  "address inside the overlay",
			edits: []string{"10.0.0.47", `100.64.0.1, "fd00:c0de::1"`},
			want: `9:86: "100.64.0.1": private address is inside the overlay prefix 100.64.0.0/10; use another address, or set overlay to a prefix that no tenant uses
9:98: "fd00:c0de::1": private address is inside the overlay prefix fd00:c0de::/64; use another address, or set overlay to a prefix that no tenant uses`,
		},
		{
			name:  "no address",
			edits: []string{"10.0.0.47", ""},
			want:  `9:85: "[]}": addresses has no entries; add at least one`,
		},
		{
			name: "conntrack maximum",
			more: `    conntrack: {max: 0}
`,
			want: `10:22: "0": is out of range; use a number in 1-2147483647`,
		},
		{
			name: "timeouts too short",
			more: `    timeouts: {tcpEstablished: 2h, tcpTransitory: 3m59s, udp: 119s, udpStream: 1m, icmp: 59s}
`,
			want: `10:32: "2h": is out of range; use a duration in 2h4m-480h
10:51: "3m59s": is out of range; use a duration in 4m-480h
10:63: "119s": is out of range; use a duration in 2m-480h
10:80: "1m": is out of range; use a duration in 2m-480h
10:90: "59s": is out of range; use a duration in 60s-480h`,
		},
		{
			name: "timeouts at the minimum",
			more: `    timeouts: {tcpEstablished: 2h4m, tcpTransitory: 4m, udp: 2m, udpStream: 120s, icmp: 60s}
`,
		},
		{
			name: "timeouts at the maximum",
			more: `    timeouts: {tcpEstablished: 480h, udp: 480h1s}
`,
			want: `10:43: "480h1s": is out of range; use a duration in 2m-480h`,
		},
		{
			name: "timeout with a fraction",
			more: `    timeouts: {icmp: 60500ms}
`,
			want: `10:22: "60500ms": is not a whole number of seconds; write 1m1s`,
		},
		{
			name: "timeout without unit",
			more: `    timeouts: {icmp: 90}
`,
			want: `10:22: "90": has no unit; write 90s if you mean seconds`,
		},
		{
			name: "timeout is no duration",
			more: `    timeouts: {icmp: never}
`,
			want: `10:22: "never": is not a duration; write numbers with units, like 90s, 5m or 2h4m`,
		},
	})
}
